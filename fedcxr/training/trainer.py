"""One hospital's local training in one round.

The objective is a weighted sum of terms (:mod:`fedcxr.training.objective`); which of them a round has follows
from its phase (:mod:`fedcxr.training.phases`), and which tensors it moves from the strategy
(:mod:`fedcxr.training.strategy`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import DataError
from fedcxr.models.runtime import Runtime
from fedcxr.training.batches import batch_count
from fedcxr.training.finite import check_finite, check_step
from fedcxr.training.loader import Loader
from fedcxr.training.objective import Objective
from fedcxr.training.optimizer import make_optimizer
from fedcxr.training.phases import Phase
from fedcxr.training.relative_gradients import relative_gradient_norms
from fedcxr.training.schedule import learning_rate, step_progress
from fedcxr.training.state_tensors import StateTensors
from fedcxr.training.strategy import HEAD, trained_names, training_only


@dataclass(frozen=True)
class TrainingReport:
    """What a round's training was, for the signed metrics and the log.

    Attributes:
        images: in the shard: the weight of this hospital in a sample-weighted average.
        passes: images put through the network and back: images × epochs × views. What budgets compare; the
            momentum network's, which go forward only, do not count.
        steps: of the optimiser.
        seconds: wall time of the whole call.
        loss: mean of the joint objective over steps.
        terms: mean of each of its terms, not multiplied by its weight; in nats, but for ``byol`` (2 − 2 cos),
            ``auc_margin`` (squared probabilities) and ``reconstruction`` (squared units of the input).
        waited: of ``seconds``, how long the network stood still for the loader.
        privacy: what the hospital has spent so far, where training is private.
    """

    images: int
    passes: int
    steps: int
    seconds: float
    loss: float
    terms: dict[str, float]
    waited: float = 0.0
    privacy: dict[str, float] | None = None


@dataclass(frozen=True)
class Step:
    """One optimiser step, for a progress display."""

    number: int  # from 1
    of: int
    passes: int  # image passes so far
    loss: float


def train(
    model: nn.Module,
    examples: Examples,
    *,
    config: Config,
    round_index: int,
    hospital: str,
    state: StateTensors | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> TrainingReport:
    """Train ``model`` in place on one hospital's examples for one round.

    Deterministic: the order of images and their augmentation derive from (seed, round, hospital), and the
    result depends on nothing that ran before in the process. It does depend on torch's build, on the kind of
    processor, and on ``training.threads``, which is set here and put back.

    Args:
        model: of the registry; on return where it was, with contiguous weights and in its former mode.
        examples: at least two images. Shards smaller than a batch make one smaller batch; a shard of one
            class trains as any other. Where all terms want known labels, images without one are left out.
        config: resolved (nothing "auto").
        round_index: from 1, as on the ledger.
        hospital: its name; with the round and the seed it decides every random draw.
        state: the hospital's, of its last round; on return its content is the state for the next one.
            Untouched when training fails. None: there was none, and nothing will be kept.
        on_step: called after every step.

    Raises:
        ConfigError: the configuration is not resolved, or asks for a device that is not here.
        DataError: too few images; no label at all and nothing to contrast; positives of studies or patients
            where the examples do not say whose images are whose.
        NonFiniteError: NaN or infinity in loss, gradient, weights or statistics, with the tensor's name.
        StoreError: ``state`` is of another model.
    """
    started = time.perf_counter()
    training, phase = config.training, Phase.of(config, round_index)
    where = f"hospital {hospital}, round {round_index}"
    seen = examples if phase.needs.unlabelled else examples.labelled
    _check_examples(seen, phase, where)
    runtime = Runtime.from_config(training)
    steps = phase.epochs * batch_count(len(seen), training.batch_size)
    step = passes = 0
    sums: dict[str, float] = {}

    with (
        runtime.settings(),
        runtime.hosting(model),
        training_only(model, trained_names(model, config, round_index)),
    ):
        objective = Objective(
            model, seen, config=config, phase=phase, runtime=runtime, state={} if state is None else state
        )
        heads = list(objective.parameters())
        measures_rates = training.strategy == "auto_rgn" and phase.name == "training"
        optimizer = make_optimizer(model, training, heads)
        parameters = [*model.parameters(), *heads]
        loader = Loader(
            seen,
            config=config,
            runtime=runtime,
            where=(round_index, hospital),
            epochs=phase.epochs,
            views=phase.needs.views,
            clean=phase.needs.clean,
            positives=training.positives if phase.needs.projection else "views",
        )
        for batch in loader:
            progress = step_progress(round_index, step, steps) - phase.start
            rate = learning_rate(progress, phase.rounds, training, top=phase.learning_rate)
            optimizer.zero_grad(set_to_none=True)
            terms = objective.backward(batch, progress)
            if measures_rates and step % (steps // phase.epochs) == 0:
                _scale_rates(optimizer, relative_gradient_norms(model))
            for group in optimizer.param_groups:
                group["lr"] = rate * group["scale"]
            norm = nn.utils.clip_grad_norm_(parameters, training.clip_norm)
            values = _values(terms, norm)
            step += 1
            check_step(
                model, loss=values["joint"], gradient_norm=values["norm"], where=f"{where}, step {step}"
            )
            optimizer.step()
            objective.update_teacher()
            sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
            passes += phase.needs.views * sum(map(len, batch))
            if on_step is not None:
                on_step(Step(number=step, of=steps, passes=passes, loss=values["joint"]))
        check_finite(model, where=where)
        if state is not None:
            new = objective.state()
            state.clear()
            state.update(new)

    return TrainingReport(
        images=len(examples),
        passes=passes,
        steps=steps,
        seconds=time.perf_counter() - started,
        loss=sums["joint"] / steps,
        terms={name: total / steps for name, total in sums.items() if name not in ("joint", "norm")},
        waited=loader.waited,
    )


def _values(terms: dict[str, Tensor], norm: Tensor) -> dict[str, float]:
    """One transfer from the device for all figures of a step."""
    values = torch.stack([*terms.values(), norm]).detach().double().cpu().tolist()
    return dict(zip([*terms, "norm"], values, strict=True))


def _scale_rates(optimizer: torch.optim.Optimizer, norms: dict[str, float]) -> None:
    for group in optimizer.param_groups:
        group["scale"] = norms.get(group["unit"], 1.0 if group["unit"] == HEAD else 0.0)


def _check_examples(seen: Examples, phase: Phase, where: str) -> None:
    if len(seen) >= 2:
        return
    if phase.needs.unlabelled:
        raise DataError(
            f"{where}: {len(seen)} images; training needs at least two (BatchNorm's statistics do). "
            "Raise partition.min_patients, or leave this hospital out."
        )
    raise DataError(
        f"{where}: {len(seen)} images have a usable label, training needs at least two, and "
        "training.contrastive_weight = 0 leaves nothing else to learn from. Check the CSV, data.blank and "
        "data.labelled, or set contrastive_weight above 0."
    )
