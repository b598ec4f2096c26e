"""What gradients of single patients cost a hospital's training: images a second with them, and without."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from fedcxr.config import Config
from fedcxr.models.registry import build_model
from fedcxr.privacy.dp.accounting import NoisyStep
from fedcxr.privacy.dp.plan import PrivacyPlan
from fedcxr.training.measure import noise_examples
from fedcxr.training.private_trainer import train_privately
from fedcxr.training.trainer import train

_STEPS, _TURNS = 2, 3


@dataclass(frozen=True)
class PrivateSpeed:
    """One configuration's training, of the same images on one processor, in turn.

    Attributes:
        plain: images a second of a processor, forward, backward and optimiser.
        private: the same with a gradient for each patient, clipped, added, and drowned in noise.
        times: how many times as long the private training takes.
    """

    plain: float
    private: float
    times: float


def bench_private(config: Config, patients: int) -> PrivateSpeed:
    """Train on noise with and without privacy, in turn, after one turn that warms up.

    Args:
        config: resolved, with ``differential_privacy.epsilon``.
        patients: of a step, with two images each.
    """
    config = config.with_changes({"training.batch_size": 2 * patients, "training.local_epochs": 1})
    images = noise_examples(config, 2 * patients * _STEPS)
    step = NoisyStep(1.0 / _STEPS, 1.0)
    count = len(np.unique(images.patients)) if images.patients is not None else 0
    plan = PrivacyPlan(count, step, config.differential_privacy.clip, 1.0, 1e-3, _STEPS, _STEPS)
    model, whole = build_model(config.model), {"config": config, "round_index": 1, "hospital": "measurement"}
    taken: dict[str, list[float]] = {"plain": [], "private": []}
    for _ in range(_TURNS + 1):
        started = time.process_time()
        train(model, images, **whole)  # type: ignore[arg-type]
        taken["plain"].append(time.process_time() - started)
        started = time.process_time()
        train_privately(model, images, plan, steps=_STEPS, **whole)  # type: ignore[arg-type]
        taken["private"].append(time.process_time() - started)
    plain, private = (len(images) / statistics.median(taken[kind][1:]) for kind in ("plain", "private"))
    return PrivateSpeed(plain, private, plain / private)
