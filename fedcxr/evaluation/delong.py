"""DeLong's variance of AUROCs, and the test of their difference, without resampling.

DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
characteristic curves: a nonparametric approach", Biometrics 44 (1988); by the midranks of Sun and Xu, "Fast
implementation of DeLong's algorithm", IEEE Signal Processing Letters 21 (2014),
https://doi.org/10.1109/LSP.2014.2337313: O(n log n) instead of a term for every pair.

It takes cases to be independent: it is for one study a patient. And it has no variance where every positive
is above every negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from fedcxr.evaluation.auroc import Floats

_NORMAL = NormalDist()
_TWO_SIDED = _NORMAL.inv_cdf(0.975)


@dataclass(frozen=True, kw_only=True)
class DeLong:
    """An AUROC, or a difference of two on the same cases, with its normal interval.

    Attributes:
        value: the AUROC or the difference.
        error: standard error; 0 where the classes are parted without fault.
        low, high: 95 %; of an AUROC held within [0, 1].
        p: two-sided, of a difference against none; None of an AUROC, and where there is no error.
    """

    value: float
    error: float
    low: float
    high: float
    p: float | None = None


def delong_interval(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> DeLong | None:
    """The AUROC of m scores and its interval; None with fewer than two of a class.

    Args:
        scores: shape (m,), finite.
        positive: bool, shape (m,).
    """
    found = covariance(scores[None], positive)
    if found is None:
        return None
    value, error = float(found[0][0]), float(np.sqrt(found[1][0, 0]))
    return DeLong(
        value=value,
        error=error,
        low=max(0.0, value - _TWO_SIDED * error),
        high=min(1.0, value + _TWO_SIDED * error),
    )


def delong_difference(
    first: NDArray[np.floating], second: NDArray[np.floating], positive: NDArray[np.bool_]
) -> DeLong | None:
    """The first model's AUROC minus the second's on the same m cases; None as :func:`delong_interval`."""
    found = covariance(np.stack([first, second]), positive)
    if found is None:
        return None
    areas, matrix = found
    value = float(areas[0] - areas[1])
    error = float(np.sqrt(max(0.0, matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1])))
    return DeLong(
        value=value,
        error=error,
        low=value - _TWO_SIDED * error,
        high=value + _TWO_SIDED * error,
        p=2 * _NORMAL.cdf(-abs(value) / error) if error > 0 else (1.0 if value == 0 else None),
    )


def covariance(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> tuple[Floats, Floats] | None:
    """AUROCs of k models on the same m cases, float64 (k,), and their covariance, float64 (k, k).

    Args:
        scores: shape (k, m), finite.
        positive: bool, shape (m,).

    Returns:
        None where a class has fewer than two cases: it shows no variance.
    """
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if min(ones, zeros) < 2:
        return None
    of_ones, of_zeros = np.empty((len(scores), ones)), np.empty((len(scores), zeros))
    for row, own in enumerate(scores):
        all_ranks = _midranks(own)
        of_ones[row] = (
            all_ranks[positive] - _midranks(own[positive])
        ) / zeros  # negatives below each positive
        of_zeros[row] = 1 - (all_ranks[~positive] - _midranks(own[~positive])) / ones
    matrix = np.atleast_2d(np.cov(of_ones)) / ones + np.atleast_2d(np.cov(of_zeros)) / zeros
    return of_ones.mean(axis=1), matrix


def _midranks(values: NDArray[np.floating]) -> Floats:
    """The ranks of scores from 1; scores that tie share the mean of their ranks."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[index]
    return ranks
