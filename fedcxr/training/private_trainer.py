"""One hospital's local training in one round with differential privacy for its patients: DP-SGD.

M. Abadi et al., "Deep learning with differential privacy", 2016, https://arxiv.org/abs/1607.00133, with a
patient for their example: each step takes every patient with one probability, independently; the gradient
over all of a patient's images is clipped, and noise is added to their sum. What the optimiser makes of it
costs no privacy.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import ConfigError, DataError
from fedcxr.models.network import Network
from fedcxr.models.runtime import Runtime
from fedcxr.privacy.dp.noise import SecureNoise
from fedcxr.privacy.dp.plan import PrivacyPlan
from fedcxr.seeds import derive_seed
from fedcxr.training.finite import check_finite
from fedcxr.training.loader import Ahead
from fedcxr.training.objectives.term import Term, TermContext, TermSpec
from fedcxr.training.optimizer import make_optimizer
from fedcxr.training.patient_gradients import PatientGradients
from fedcxr.training.phases import Phase
from fedcxr.training.preparation import Preparation, Ready
from fedcxr.training.schedule import learning_rate, step_progress
from fedcxr.training.strategy import learns, trained_names, training_only
from fedcxr.training.trainer import Step, TrainingReport

_SLOWER = "There is a performance drop"  # one layer of a network, by torch's fallback
_VALUES = 1 << 26  # of gradients that are in memory at once: 256 MB


def train_privately(
    model: Network,
    examples: Examples,
    plan: PrivacyPlan,
    *,
    config: Config,
    round_index: int,
    hospital: str,
    steps: int,
    noise: SecureNoise | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> TrainingReport:
    """Train ``model`` in place for one round, so that what it becomes is private.

    Not reproducible: who is in a step, and the noise, are drawn from the operating system's randomness.
    ``training.clip_norm`` does not apply; the images of a step go through the network as many at a time as
    ``training.batch_size / training.accumulate``, and fewer where gradients are large.

    Args:
        model: of the registry, whose layers mix no images; on return where it was.
        examples: that say whose images are whose.
        plan: of this hospital.
        config: resolved, with ``differential_privacy.epsilon``.
        round_index: from 1.
        hospital: its name, for errors.
        steps: to take, at most the plan's of a round.
        noise: to draw from; None for the operating system's.
        on_step: called after every step.

    Returns:
        What training was. Its losses are of patients, without noise: they are not to leave the hospital.
        ``passes`` are those that are to be expected, for how many there were is not to leave it either.

    Raises:
        ConfigError: a term compares images, or a layer mixes them.
        DataError: the examples do not say whose images are whose, or are of other patients than the plan's.
        NonFiniteError: NaN or infinity in the weights.
    """
    started = time.perf_counter()
    training, phase = config.training, Phase.of(config, round_index)
    where = f"hospital {hospital}, round {round_index}"
    patients = Patients(examples, where)
    if patients.count != plan.patients:
        raise DataError(
            f"{where}: {patients.count} patients, and what may be spent was planned for {plan.patients}: "
            "they may not change while a federation runs."
        )
    runtime, noise = Runtime.from_config(training), noise or SecureNoise()
    loss, names = 0.0, trained_names(model, config, round_index)
    with (
        warnings.catch_warnings(),
        runtime.settings(),
        runtime.hosting(model),
        training_only(model, frozenset(n for n in names if learns(n, phase))),  # else it would be noise alone
    ):
        warnings.filterwarnings("ignore", message=_SLOWER)
        check_unmixed(model)
        gradients = PatientGradients(
            model,
            terms_by_image(model, examples, config, phase, runtime),
            runtime=runtime,
            clip=plan.clip,
            noise_multiplier=plan.step.noise_multiplier,
        )
        optimizer = make_optimizer(model, training)
        preparation = Preparation(
            examples,
            config=config,
            runtime=runtime,
            views=1,
            clean=False,
            augmentation=torch.Generator(),  # whose draws nobody asks for
        )
        at_once = max(1, training.batch_size // training.accumulate)
        fit = max(1, _VALUES // gradients.size)
        taken = [
            list(patients.chunks(noise.sample(patients.count, plan.step.sample_rate), at_once, fit))
            for _ in range(steps)
        ]

        secret = noise.seed()

        def make(chunk: tuple[int, NDArray[np.int64]]) -> list[Ready]:
            number, indices = chunk
            parts = patients.parts(indices, at_once)
            return preparation.ready(indices, parts, lambda owner: _generator(secret, number, owner))

        chunks = Ahead(make, ((number, chunk) for number, step in enumerate(taken) for chunk in step))
        ready = iter(chunks)
        for number, step in enumerate(taken):
            for _ in step:
                gradients.add([_in_order(part) for part in next(ready)])
            mean = gradients.loss / max(1, gradients.patients)
            loss += mean / steps
            gradients.finish(noise, plan.step.sample_rate * patients.count)
            progress = step_progress(round_index, number, plan.round_steps) - phase.start
            rate = learning_rate(progress, phase.rounds, training, top=phase.learning_rate)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            if on_step is not None:
                on_step(Step(number + 1, steps, _expected(plan, examples, number + 1), mean))
        next(ready, None)  # the loader's thread ends
        check_finite(model, where=where)
        optimizer.zero_grad(set_to_none=True)
    return TrainingReport(
        images=len(examples),
        passes=_expected(plan, examples, steps),
        steps=steps,
        seconds=time.perf_counter() - started,
        loss=loss,
        terms={},
        waited=chunks.waited,
    )


class Patients:
    """Whose images are whose.

    Attributes:
        count: of patients.
    """

    def __init__(self, examples: Examples, where: str) -> None:
        if examples.patients is None:
            raise DataError(f"{where}: nobody said which images are of one patient.")
        _, owner = np.unique(examples.patients, return_inverse=True)
        self.count = int(owner.max(initial=-1)) + 1
        self._owner = owner
        labelled = np.flatnonzero(examples.mask.any(axis=1))  # of the others the gradient is zero
        self._order = labelled[np.argsort(owner[labelled], kind="stable")]
        self._images = np.bincount(owner[labelled], minlength=self.count)
        self._starts = np.cumsum(self._images) - self._images

    def chunks(self, taken: NDArray[np.int64], images: int, patients: int) -> Iterator[NDArray[np.int64]]:
        """The images of the patients that were taken, as many at a time as fit.

        Args:
            taken: int64, of those from 0 to :attr:`count`.
            images: that fit at once. Who has more is alone.
            patients: whose gradients fit at once.

        Yields:
            int64: indices of the images of patients that all have as many.
        """
        own = self._images[taken]
        for each in np.unique(own[own > 0]).tolist():
            alike = taken[own == each]
            size = max(1, min(images // each, patients))
            for start in range(0, len(alike), size):
                places = self._starts[alike[start : start + size], None] + np.arange(each)
                yield self._order[places.ravel()]

    def parts(self, indices: NDArray[np.int64], images: int) -> int:
        """In how many parts a chunk goes through the network: more than one where a patient's do not fit."""
        alone = self._owner[indices[0]] == self._owner[indices[-1]]
        return -(-len(indices) // images) if alone else 1


def check_unmixed(model: nn.Module) -> None:
    """See that no layer computes one image's output from another's, nor from how many there are.

    Raises:
        ConfigError: BatchNorm would, and so would dropout, which draws for one image after the other.
    """
    for name, module in model.named_modules():
        rate = getattr(module, "drop_prob", None) or (
            module.p if isinstance(module, nn.modules.dropout._DropoutNd) else 0.0
        )
        if rate and module.training:
            raise ConfigError(
                f"differential_privacy.epsilon: {name} drops a share of {rate:g} of what it sees, at random, "
                "and its draws depend on who else is there: choose another model.encoder."
            )
    mixing = [n for n, m in model.named_modules() if isinstance(m, _BatchNorm) and m.training]
    if mixing:
        raise ConfigError(
            f"differential_privacy.epsilon: {mixing[0]} normalises by its batch, and so mixes patients: set "
            "model.norm to 'group', or to 'frozen' for pretrained weights, or leave that layer out of "
            "training.train."
        )


def terms_by_image(
    model: Network, examples: Examples, config: Config, phase: Phase, runtime: Runtime
) -> dict[TermSpec, tuple[Term, float]]:
    """The terms of a phase, each as it is computed and its weight.

    Raises:
        ConfigError: one of them compares images.
    """
    for term in phase.terms:
        if not term.by_image:
            raise ConfigError(
                f"differential_privacy.epsilon: the term {term.name} compares images, and no patient has a "
                "gradient of its own there: set its weight to 0."
            )
    context = TermContext(config, examples, runtime.device, {}, model, {})
    return {term: (term.make(context), weight) for term, weight in phase.terms.items()}


def _generator(secret: int, step: int, patient: int) -> torch.Generator:
    """Of a patient's augmentation in a step: the same whoever else is in it.

    So it need not be hidden for the noise to cover the patient; torch takes 32 bits of a seed, which hide
    nothing.
    """
    return torch.Generator().manual_seed(derive_seed(secret, "augment", step, patient))


def _in_order(part: Ready) -> Ready:
    """A part with each patient's images beside each other."""
    order = torch.argsort(part.owners, stable=True)
    if bool((order[1:] > order[:-1]).all()):
        return part
    return replace(
        part,
        views=part.views[order],
        targets=part.targets[order],
        mask=part.mask[order],
        counted=part.counted[order],
        owners=part.owners[order],
    )


def _expected(plan: PrivacyPlan, examples: Examples, steps: int) -> int:
    """Images that so many steps may be expected to see."""
    return round(plan.step.sample_rate * len(examples) * steps)
