"""Whether a map points at the lesion, where a mask says where it is.

- **hit**: the pointing game of Zhang et al., "Top-down neural attention by excitation backprop" (ECCV 2016),
  https://arxiv.org/abs/1608.00507: the map's highest place is in the mask. Without that paper's tolerance of
  15 pixels, which for images this small would be a third of a lung.
- **coverage**: the share of the lesion that is among as many of the map's highest places as it has pixels.
- **energy**: the share of the map that is in the mask (Wang et al., "Score-CAM", CVPR workshops 2020).

A map that knows nothing comes to the mask's share of the image in each of the three: ``chance``, beside which
they are to be read. A map that is empty, as Grad-CAM's can be, scores nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.evaluation.auroc import Floats
from fedcxr.evaluation.bootstrap import Resampled
from fedcxr.evaluation.scores import Estimate

FIGURES = ("hit", "coverage", "energy", "chance")


@dataclass(frozen=True)
class Localisation:
    """The means over lesions, with intervals over patients.

    Attributes:
        lesions: images and labels scored.
        hit, coverage, energy: in [0, 1].
        chance: what a map that knows nothing would come to.
        gain: coverage above chance, paired.
    """

    lesions: int
    hit: Estimate
    coverage: Estimate
    energy: Estimate
    chance: Estimate
    gain: Estimate


def localise(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> Floats:
    """The four figures of n maps, float32 (n, S, S), not negative, against masks, bool (n, S, S): (n, 4).

    Every mask has a pixel. Ties among a map's places are broken by position, from the top left.
    """
    values, inside = maps.reshape(len(maps), -1), masks.reshape(len(masks), -1)
    area = inside.sum(axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    ranked = np.take_along_axis(inside, order, axis=1).cumsum(axis=1)
    covered = np.take_along_axis(ranked, area[:, None] - 1, axis=1)[:, 0] / area
    total = values.sum(axis=1, dtype=np.float64)
    some = total > 0
    energy = (values * inside).sum(axis=1, dtype=np.float64) / np.where(some, total, 1)
    hit = inside[np.arange(len(values)), order[:, 0]]
    return np.stack([hit * some, covered * some, energy, area / inside.shape[1]], axis=1).astype(np.float64)


def summarise(figures: Floats, patients: NDArray[np.int64], *, resamples: int, seed: int) -> Localisation:
    """The means of n lesions' figures, float64 (n, 4), n > 0, whose patients are int64 (n,)."""
    gained = np.concatenate([figures, (figures[:, 1] - figures[:, 3])[:, None]], axis=1)

    def measure(weights: NDArray[np.int32]) -> Floats:
        means: Floats = (weights.T.astype(np.float64) @ gained) / weights.sum(axis=0)[:, None]
        return means

    found = Resampled.measure(patients, measure, resamples, seed)
    hit, coverage, energy, chance, gain = (found.estimate([k]) for k in range(5))
    return Localisation(len(figures), hit, coverage, energy, chance, gain)
