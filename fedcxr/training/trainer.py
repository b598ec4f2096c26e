"""One hospital's local training in one round.

The objective is joint: masked binary cross-entropy on the labels, over two augmented views of every image,
plus λ times NT-Xent between the views. Both views go through the network as one batch of 2B. With λ = 0 there
is nothing to contrast: one view is drawn, and an epoch costs half the image passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.data.transforms import Augmentation, augment, normalise
from fedcxr.errors import DataError
from fedcxr.models.runtime import Runtime
from fedcxr.seeds import derive_seed
from fedcxr.training.batches import Batch, batch_count, epoch_batches, read_batch
from fedcxr.training.finite import check_finite, check_step
from fedcxr.training.objectives.bce import masked_bce
from fedcxr.training.objectives.ntxent import nt_xent
from fedcxr.training.optimizer import make_optimizer
from fedcxr.training.schedule import learning_rate, step_progress


@dataclass(frozen=True)
class TrainingReport:
    """What a round's training was, for the signed metrics and the log.

    Attributes:
        images: in the shard: the weight of this hospital in a sample-weighted average.
        passes: images put through the network: images × epochs × views. What budgets compare.
        steps: of the optimiser.
        seconds: wall time of the whole call.
        loss: mean of the joint objective over steps.
        bce: mean masked binary cross-entropy, nats.
        contrastive: mean NT-Xent, nats, not multiplied by λ; 0 with λ = 0.
    """

    images: int
    passes: int
    steps: int
    seconds: float
    loss: float
    bce: float
    contrastive: float


@dataclass(frozen=True)
class Step:
    """One optimiser step, for a progress display."""

    number: int  # from 1
    of: int
    passes: int  # image passes so far
    loss: float


class Losses(NamedTuple):
    """The joint objective of one batch and its two terms, scalars."""

    joint: Tensor
    bce: Tensor
    contrastive: Tensor


def views(contrastive_weight: float) -> int:
    """Image passes that one image costs in one epoch."""
    return 2 if contrastive_weight > 0 else 1


def train(
    model: nn.Module,
    examples: Examples,
    *,
    config: Config,
    round_index: int,
    hospital: str,
    on_step: Callable[[Step], None] | None = None,
) -> TrainingReport:
    """Train ``model`` in place on one hospital's examples for one round.

    Deterministic: the order of images and their augmentation derive from (seed, round, hospital), and the
    result depends on nothing that ran before in the process. It does depend on torch's build, on the kind of
    processor, and on ``training.threads``, which is set here and put back.

    Args:
        model: of the registry; on return where it was, with contiguous weights and in its former mode.
        examples: at least two images. Shards smaller than a batch make one smaller batch; a shard of one
            class trains as any other.
        config: resolved (nothing "auto").
        round_index: from 1, as on the ledger.
        hospital: its name; with the round and the seed it decides every random draw.
        on_step: called after every step.

    Raises:
        ConfigError: the configuration is not resolved, or asks for a device that is not here.
        DataError: too few images; no label at all and nothing to contrast.
        NonFiniteError: NaN or infinity in loss, gradient, weights or statistics, with the tensor's name.
    """
    started = time.perf_counter()
    training = config.training
    where = f"hospital {hospital}, round {round_index}"
    _check_examples(examples, training.contrastive_weight, where)
    runtime = Runtime.from_config(training)
    order = torch.Generator().manual_seed(derive_seed(config.seed, round_index, hospital, "order"))
    augmentation = torch.Generator().manual_seed(derive_seed(config.seed, round_index, hospital, "augment"))
    view_count = views(training.contrastive_weight)
    steps = training.local_epochs * batch_count(len(examples), training.batch_size)
    step = passes = 0
    sums = torch.zeros(3, dtype=torch.float64)

    with runtime.settings(), runtime.hosting(model):
        model.train()
        optimizer = make_optimizer(model, training)
        for _ in range(training.local_epochs):
            for indices in epoch_batches(len(examples), training.batch_size, order):
                rate = learning_rate(
                    step_progress(round_index, step, steps), config.federation.rounds, training
                )
                for group in optimizer.param_groups:
                    group["lr"] = rate
                batch = Batch(*(runtime.to_device(tensor) for tensor in read_batch(examples, indices)))
                losses = _losses(model, batch, config=config, runtime=runtime, generator=augmentation)
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(losses.joint)
                norm = nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
                values = torch.stack([*losses, norm]).detach().double().cpu()
                step += 1
                check_step(
                    model,
                    loss=float(values[0]),
                    gradient_norm=float(values[3]),
                    where=f"{where}, step {step}",
                )
                optimizer.step()
                sums += values[:3]
                passes += view_count * len(indices)
                if on_step is not None:
                    on_step(Step(number=step, of=steps, passes=passes, loss=float(values[0])))
        check_finite(model, where=where)

    loss, bce, contrastive = (sums / steps).tolist()
    return TrainingReport(
        images=len(examples),
        passes=passes,
        steps=steps,
        seconds=time.perf_counter() - started,
        loss=loss,
        bce=bce,
        contrastive=contrastive,
    )


def _losses(
    model: nn.Module, batch: Batch, *, config: Config, runtime: Runtime, generator: torch.Generator
) -> Losses:
    """The joint objective of one batch: views drawn, put through the network together, and compared."""
    weight = config.training.contrastive_weight
    count = views(weight)
    augmentation = Augmentation.scaled(config.training.augmentation)
    seen = normalise(augment(batch.images.repeat(count, 1, 1, 1), generator, augmentation))
    with runtime.autocast():
        output = model(seen.contiguous(memory_format=runtime.memory_format), project=weight > 0)
    bce = masked_bce(output.logits, batch.targets.repeat(count, 1), batch.mask.repeat(count, 1))
    if weight == 0:
        return Losses(bce, bce, torch.zeros_like(bce))
    first, second = output.projection.chunk(2)
    contrastive = nt_xent(first, second, config.training.temperature)
    return Losses(bce + weight * contrastive, bce, contrastive)


def _check_examples(examples: Examples, contrastive_weight: float, where: str) -> None:
    if len(examples) < 2:
        raise DataError(
            f"{where}: {len(examples)} images; training needs at least two (BatchNorm's statistics do). "
            "Raise partition.min_patients, or leave this hospital out."
        )
    if contrastive_weight == 0 and not examples.mask.any():
        raise DataError(
            f"{where}: no image has a usable label, and training.contrastive_weight = 0 leaves nothing "
            "to learn from. Check the CSV and data.blank, or set contrastive_weight above 0."
        )
