"""The area under the ROC curve as a rank statistic, exact, for many weightings at once.

The AUROC is the chance that a positive scores above a negative, a tie counting one half: the Mann-Whitney
statistic over midranks (Hanley and McNeil, Radiology 143, 1982). Here it is counted: for each positive, the
weight of the negatives below it and half the weight of those that tie with it. Sorting is done once; another
weighting (a bootstrap resample) costs one cumulative sum. All counts are integers, so that the result has one
rounding and is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LARGE = 4096  # cases from which one weighting at a time, in a core's cache, is faster than many together


def auroc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float | None:
    """The AUROC of m scores; None where one class is absent.

    Args:
        scores: shape (m,), finite; higher means more likely positive.
        positive: bool, shape (m,).
    """
    value = float(weighted_auroc(scores, positive, np.ones((len(scores), 1), dtype=np.int32))[0])
    return None if np.isnan(value) else value


def weighted_auroc(
    scores: NDArray[np.floating], positive: NDArray[np.bool_], weights: NDArray[np.int32]
) -> Floats:
    """The AUROC under each of R weightings.

    Args:
        scores: shape (m,), finite.
        positive: bool, shape (m,).
        weights: int32, shape (m, R), not negative: how often each of the m counts. Resamples lie in columns,
            so that the cumulative sum runs over contiguous memory.

    Returns:
        float64, shape (R,); NaN where a class has no weight.
    """
    return Ranking.of(scores, positive).auroc(weights)


@dataclass(frozen=True, eq=False)
class Ranking:
    """The cases of a label in the order of their scores, so that a further weighting needs no sorting.

    Attributes:
        positives, negatives: rows of the weights, by rising score.
        below: int64, one a positive: how many of the negatives are below it.
        up_to: int64: and how many are below it or tie with it.
        first: int64, one a positive: how many of the positives are below it.
    """

    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    below: NDArray[np.int64]
    up_to: NDArray[np.int64]
    first: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        scores: NDArray[np.floating],
        positive: NDArray[np.bool_],
        rows: NDArray[np.int64] | None = None,
    ) -> Ranking:
        """Rank m cases by score, (m,), and truth, (m,); ``rows`` (m,) has the row of weights of each case."""
        negatives = np.flatnonzero(~positive)
        negatives = negatives[np.argsort(scores[negatives], kind="stable")]
        positives = np.flatnonzero(positive)
        positives = positives[np.argsort(scores[positives], kind="stable")]  # so that look-ups run forward
        ordered, wanted = scores[negatives], scores[positives]
        return cls(
            positives=positives if rows is None else rows[positives],
            negatives=negatives if rows is None else rows[negatives],
            below=np.searchsorted(ordered, wanted, side="left"),
            up_to=np.searchsorted(ordered, wanted, side="right"),
            first=np.searchsorted(wanted, wanted, side="left"),
        )

    def auroc(self, weights: NDArray[np.int32]) -> Floats:
        """The AUROC, float64 (R,), under R weightings, int32 (rows, R); NaN where a class has no weight."""
        if not len(self.positives) or not len(self.negatives):
            return np.full(weights.shape[1], np.nan)
        if max(len(weights), len(self.positives) + len(self.negatives)) > LARGE:
            counts = [self._count(row) for row in np.ascontiguousarray(weights.T)]
            doubled, pairs = np.array(counts, dtype=np.int64).reshape(-1, 2).T
        else:
            doubled, pairs = self._count_together(weights)
        with np.errstate(invalid="ignore"):
            areas: Floats = doubled / (2 * pairs)
        return areas

    def _count(self, weights: NDArray[np.int32]) -> tuple[int, int]:
        """Count pairs under one weighting, (rows,): twice those in order, and all."""
        sums = np.zeros(len(self.negatives) + 1, dtype=np.int32)
        np.cumsum(weights.take(self.negatives, mode="clip"), out=sums[1:])  # clip: rows are known to be there
        chosen = weights.take(self.positives, mode="clip").astype(np.int64)
        twice = sums.take(self.below, mode="clip")
        twice += sums.take(self.up_to, mode="clip")
        return int(chosen @ twice.astype(np.int64)), int(chosen.sum()) * int(sums[-1])

    def _count_together(self, weights: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count pairs as :meth:`_count` under R weightings at once, both int64 (R,)."""
        sums = np.zeros((len(self.negatives) + 1, weights.shape[1]), dtype=np.int32)
        np.cumsum(weights[self.negatives], axis=0, out=sums[1:])
        chosen = weights[self.positives]
        # Twice the count, to stay in integers: below + (below + tied) = 2 below + tied.
        twice = sums[self.below]
        twice += sums[self.up_to]
        doubled = np.einsum("pr,pr->r", chosen, twice, dtype=np.int64, casting="safe")
        return doubled, chosen.sum(axis=0, dtype=np.int64) * sums[-1].astype(np.int64)
