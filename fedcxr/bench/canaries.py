"""A lower bound of epsilon, from what an adversary finds out: planted patients, and who of them was there.

After T. Steinke, M. Nasr, M. Jagielski, "Privacy auditing with one (1) training run", 2023,
https://arxiv.org/abs/2305.08846. A coin decides for each canary whether the hospital trains on it. The
adversary has all that the accountant grants it: every noisy gradient, the model, and each canary's own
gradient; not the coins. It guesses them, the surest first. Under epsilon no number of right guesses is much
likelier than by coins that fall right with probability exp(epsilon) / (1 + exp(epsilon)); where it is,
epsilon is larger. The code is the hospital's own: clipping, sums and noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom
from torch import Tensor

from fedcxr.config import Config, validate
from fedcxr.data.examples import Examples
from fedcxr.models.network import LABEL_COUNT, Network
from fedcxr.models.registry import create_model
from fedcxr.models.runtime import Runtime
from fedcxr.privacy.dp.accounting import noise_multiplier_for
from fedcxr.privacy.dp.noise import SecureNoise
from fedcxr.training.patient_gradients import PatientGradients
from fedcxr.training.phases import Phase
from fedcxr.training.preparation import Preparation
from fedcxr.training.private_trainer import terms_by_image

_STEPS = 4
_CONFIDENCE = 0.95
_AT_ONCE = 32
SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
"""Of the canaries, how many are guessed; the bound is of the best, each at a fifth of the error allowed."""


@dataclass(frozen=True)
class CanaryResult:
    """What an adversary found out.

    Attributes:
        stated: epsilon that the accountant gives; infinite without noise.
        found: the lower bound, at 95 % confidence.
        noise_multiplier: of the noise that was drawn.
        delta: of both.
        canaries: planted.
        guessed: of them, for the best bound.
        right: of those.
        steps: whose gradients the adversary saw.
    """

    stated: float
    found: float
    noise_multiplier: float
    delta: float
    canaries: int
    guessed: int
    right: int
    steps: int


def bench_canaries(epsilon: float | None, *, canaries: int = 400, seed: int = 0) -> CanaryResult:
    """Plant canaries, train on half of them, and guess which.

    Args:
        epsilon: that training may spend; None: without noise, but clipped as ever.
        canaries: patients of noise with labels at random; each is in every step, if it is in at all.
        seed: of canaries and coins; the noise has none.
    """
    config, delta = _config(), 0.5 / canaries
    multiplier = 0.0 if epsilon is None else noise_multiplier_for(1.0, _STEPS, epsilon, delta)
    examples, rng = _planted(canaries, seed), np.random.default_rng([seed, 1])
    coins = rng.random(canaries) < 0.5
    model = create_model(config.model, seed=seed)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith("projection."))
    model.train()
    seen = _Gradients(model, examples, config, multiplier)
    noise, mean = SecureNoise(), torch.zeros(seen.size, dtype=torch.float64)
    for _ in range(_STEPS):
        mean += seen.of(np.flatnonzero(coins), noise).double() / _STEPS
    own = torch.stack([_quiet(seen, index).double() for index in range(canaries)])
    gram = own @ own.T
    ridge = multiplier**2 * torch.eye(canaries, dtype=torch.float64) / _STEPS
    scores = torch.linalg.solve(gram + ridge + 1e-9 * torch.eye(canaries), own @ (mean - own.sum(0) / 2))
    guessed, right, found = _best_bound(scores.numpy(), coins)
    stated = math.inf if epsilon is None else epsilon
    return CanaryResult(stated, found, multiplier, delta, canaries, guessed, right, _STEPS)


def lower_bound(right: int, guessed: int, error: float) -> float:
    """The least epsilon under which so many right guesses have a probability of ``error`` or more.

    Delta is left out: with the canaries here it changes the bound by less than a hundredth.
    """
    low, high = 0.0, 20.0
    if binom.sf(right - 1, guessed, 0.5) > error:
        return 0.0
    for _ in range(50):
        middle = (low + high) / 2
        likely = binom.sf(right - 1, guessed, 1.0 / (1.0 + math.exp(-middle)))
        low, high = (low, middle) if likely > error else (middle, high)
    return low


def _best_bound(scores: NDArray[np.float64], coins: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Of the shares that are guessed: how many are, how many are right, and the bound."""
    surest = np.argsort(-np.abs(scores), kind="stable")
    right = np.cumsum((scores > 0.0)[surest] == coins[surest])
    error = (1.0 - _CONFIDENCE) / len(SHARES)
    bounds = []
    for share in SHARES:
        guessed = max(1, round(share * len(scores)))
        hits = int(right[guessed - 1])
        bounds.append((lower_bound(hits, guessed, error), guessed, hits))
    found, guessed, hits = max(bounds)
    return guessed, hits, found


class _Gradients:
    """The hospital's gradients, as a vector."""

    def __init__(self, model: Network, examples: Examples, config: Config, multiplier: float) -> None:
        runtime = Runtime.from_config(config.training)
        terms = terms_by_image(model, examples, config, Phase.of(config, 1), runtime)
        self.clip = config.differential_privacy.clip
        self._model = model
        self._gradients = PatientGradients(
            model, terms, runtime=runtime, clip=self.clip, noise_multiplier=multiplier
        )
        self._preparation = Preparation(
            examples, config=config, runtime=runtime, views=1, clean=False, augmentation=torch.Generator()
        )
        self.size = self._gradients.size

    def of(self, indices: NDArray[np.int64], noise: SecureNoise | None) -> Tensor:
        """The sum over some canaries; with noise, where there is any to draw from."""
        for start in range(0, len(indices), _AT_ONCE):
            self._gradients.add(self._preparation.ready(indices[start : start + _AT_ONCE]))
        self._gradients.finish(noise, expected=1.0)
        trained = (p.grad for p in self._model.parameters() if p.grad is not None)
        return torch.cat([gradient.flatten() for gradient in trained])


def _quiet(seen: _Gradients, index: int) -> Tensor:
    """One canary's gradient, as it is added, without noise."""
    return seen.of(np.array([index]), None)


def _planted(count: int, seed: int) -> Examples:
    """Patients of one image each: noise, with labels at random."""
    rng = np.random.default_rng([seed, 0])
    places = np.arange(count, dtype=np.int64)
    return Examples(
        images=rng.integers(0, 256, (count, 32, 32), dtype=np.uint8),
        rows=places,
        targets=(rng.random((count, LABEL_COUNT)) < 0.5).astype(np.float32),
        mask=np.ones((count, LABEL_COUNT), np.bool_),
        patients=places,
        studies=places,
    )


def _config() -> Config:
    tree = {
        "name": "canaries",
        "data": {"root": "none", "size": 32},
        "model": {"name": "compact", "norm": "group"},
        "training": {
            "self_supervised": "none",
            "augmentation": 0.0,
            "device": "cpu",
            "precision": "float32",
            "memory_format": "channels_last",
        },
        "differential_privacy": {"epsilon": 1.0},
    }
    return validate(tree, where="canaries")
