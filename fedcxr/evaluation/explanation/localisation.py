"""Localisation scores: whether a saliency map points at the lesion that a mask shows.

- **hit**: the pointing game of Zhang et al., "Top-down neural attention by excitation backprop" (ECCV 2016),
  https://arxiv.org/abs/1608.00507: the map's highest pixel is in the mask. That paper allows 15 pixels'
  tolerance; here there is none, because on images this small it would be a third of a lung.
- **coverage**: the share of the lesion that is among as many of the map's highest pixels as it has itself.
- **energy**: the share of the map that is in the mask (Wang et al., "Score-CAM", CVPR workshops 2020).

Pixels at random score the mask's share of the image, ``area``. That is little to be above: every heart is in
about the same place, and whoever has seen the label's other lesions does better without a look at the image.
So each figure stands beside the figure of the same maps handed to other patients of the same label, and
beside that of the mean of those patients' masks. A map that is empty, as Grad-CAM's can be, scores 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.evaluation.auroc import Floats
from fedcxr.evaluation.bootstrap import Resampled
from fedcxr.evaluation.explanation.ranking import saliency_ranking, stand_ins
from fedcxr.evaluation.scores import Estimate

FEWEST_PATIENTS = 40
"""Patients below which a mean score of one model has no interval.

Resampling so few says little of others, and nothing at all where their scores are alike, as when no map hits.
"""


@dataclass(frozen=True)
class Localisation:
    """The mean localisation scores over lesions, with intervals over patients.

    Attributes:
        lesions: images and labels scored.
        hit, coverage, energy: in [0, 1].
        area: the mask's share of the image, to which pixels at random come in all three.
        hit_elsewhere, coverage_elsewhere: of the same maps, each handed to another patient of the label.
        hit_usual, coverage_usual: of the mean mask of the label's other patients.
        hit_gain, coverage_gain: the map's own minus that of maps handed on, paired.
    """

    lesions: int
    hit: Estimate
    coverage: Estimate
    energy: Estimate
    area: Estimate
    hit_elsewhere: Estimate
    coverage_elsewhere: Estimate
    hit_usual: Estimate
    coverage_usual: Estimate
    hit_gain: Estimate
    coverage_gain: Estimate


def localise(maps: NDArray[np.float32], masks: NDArray[np.bool_], seed: int) -> Floats:
    """Score n maps by their lesions' masks: hit, coverage, energy and area, float64 (n, 4).

    Args:
        maps: float32 (n, S, S), not negative.
        masks: bool (n, S, S), each with a pixel.
        seed: breaks ties among a map's pixels.
    """
    values, inside = maps.reshape(len(maps), -1), masks.reshape(len(masks), -1)
    area = inside.sum(axis=1)
    order = saliency_ranking(maps, seed)
    found = np.take_along_axis(inside, order, axis=1).cumsum(axis=1)
    covered = np.take_along_axis(found, area[:, None] - 1, axis=1)[:, 0] / area
    total = values.sum(axis=1, dtype=np.float64)
    some = total > 0
    energy = (values * inside).sum(axis=1, dtype=np.float64) / np.where(some, total, 1)
    hit = inside[np.arange(len(values)), order[:, 0]]
    return np.stack([hit * some, covered * some, energy, area / inside.shape[1]], axis=1).astype(np.float64)


def mean_masks(
    masks: NDArray[np.bool_], labels: NDArray[np.int64], patients: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The mean mask of each case's label over the label's other patients: where its lesions usually are.

    Args:
        masks: bool (n, S, S).
        labels, patients: int64 (n,).

    Returns:
        float32 (n, S, S); zero everywhere for a case whose label no other patient has.
    """
    usual = np.zeros(masks.shape, dtype=np.float32)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        whole = masks[own].sum(axis=0, dtype=np.float32)
        for patient in np.unique(patients[own]):
            mine = own[patients[own] == patient]
            others = len(own) - len(mine)
            usual[mine] = (whole - masks[mine].sum(axis=0, dtype=np.float32)) / max(others, 1)
    return usual


def compare_localisation(
    maps: NDArray[np.float32],
    masks: NDArray[np.bool_],
    labels: NDArray[np.int64],
    patients: NDArray[np.int64],
    *,
    resamples: int,
    seed: int,
) -> tuple[Localisation, dict[int, Localisation], Floats]:
    """Score n maps as :func:`localise` does, beside two references that need no look at the image.

    Args:
        maps, masks: as there.
        labels, patients: int64 (n,), n > 0.
        resamples: of patients.
        seed: of the resamples, of ties, and of the draw of stand-ins.

    Returns:
        The scores over all maps; the scores by label; each map's own, as :func:`localise` gives them.
    """
    others = stand_ins(labels, patients, seed)
    own, elsewhere = localise(maps, masks, seed), localise(maps[others], masks, seed)
    elsewhere[others < 0] = np.nan
    known = mean_masks(masks, labels, patients)
    usual = localise(known, masks, seed)
    usual[~known.any(axis=(1, 2))] = np.nan
    figures = np.concatenate([own, elsewhere[:, :2], usual[:, :2], own[:, :2] - elsewhere[:, :2]], axis=1)

    def summarise(rows: NDArray[np.int64]) -> Localisation:
        found = means(figures[rows], patients[rows], resamples, seed, fewest=FEWEST_PATIENTS)
        return Localisation(len(rows), *(found.estimate([k]) for k in range(figures.shape[1])))

    by_label = {label: summarise(np.flatnonzero(labels == label)) for label in np.unique(labels).tolist()}
    return summarise(np.arange(len(maps))), by_label, own


def means(
    values: Floats, patients: NDArray[np.int64], resamples: int, seed: int, *, fewest: int = 0
) -> Resampled:
    """The means of the columns of float64 (n, k), each over the cases where it is not NaN.

    A column that fewer than ``fewest`` patients have is left undefined in every resample: it has a value and
    no interval.
    """
    known = ~np.isnan(values)
    enough = [len(np.unique(patients[rows])) >= fewest for rows in known.T]
    filled = np.where(known, values, 0.0)

    def measure(weights: NDArray[np.int32]) -> Floats:
        drawn = weights.T.astype(np.float64)
        count = drawn @ known.astype(np.float64)
        found: Floats = (drawn @ filled) / np.where(count > 0, count, np.nan)
        return found

    found = Resampled.measure(patients, measure, resamples, seed)
    return Resampled(found.values, np.where(enough, found.drawn, np.nan))
