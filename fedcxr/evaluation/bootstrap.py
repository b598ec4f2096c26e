"""Resamples of studies, and the 95 % percentile interval over them (Efron and Tibshirani 1993, chapter 13).

Studies are drawn with replacement, each with all its labels, so that labels are resampled together and a mean
over labels has an interval of its own. Resamples follow from (number of studies, seed) alone: two models
evaluated on the same studies with the same seed meet the same resamples, and the difference between them has
a paired interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.evaluation.auroc import Floats, weighted_auroc
from fedcxr.evaluation.scores import Estimate
from fedcxr.evaluation.studies import StudyScores

LEVEL = 0.95
FEWEST = 40  # resamples below which 2.5 % of them is less than one, and no interval is given

_CELLS = 1 << 22  # weights held at once: 16 MB, whatever the number of studies


@dataclass(frozen=True, eq=False)
class Areas:
    """AUROCs of L labels, and what they come to in each of R resamples.

    Attributes:
        values: float64, shape (L,); NaN where a label has one class only.
        drawn: float64, shape (R, L); NaN where a label has one class in the resample.
    """

    values: Floats
    drawn: Floats

    @classmethod
    def of(cls, scored: StudyScores, resamples: int, seed: int) -> Areas:
        """The areas of all labels of some studies, under ``resamples`` bootstrap resamples."""
        labels = scored.labels.shape[1]
        if not len(scored):
            return cls(np.full(labels, np.nan), np.full((resamples, labels), np.nan))
        known = [scored.known(column) for column in range(labels)]

        def measure(weights: NDArray[np.int32]) -> Floats:
            columns = (
                weighted_auroc(scored.scores[rows, column], positive, weights[rows])
                for column, (rows, positive) in enumerate(known)
            )
            return np.stack(list(columns), axis=1)

        whole = measure(np.ones((len(scored), 1), dtype=np.int32))
        blocks = [measure(weights) for weights in _resample(len(scored), resamples, seed)]
        return cls(whole[0], np.concatenate([np.empty((0, labels)), *blocks]))

    @classmethod
    def mean(cls, parts: Sequence[Areas], weights: Sequence[float]) -> Areas:
        """The weighted mean of several models' areas, resample by resample: all on the same studies."""
        shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
        return cls(
            sum((share * part.values for share, part in zip(shares, parts, strict=True)), start=np.zeros(1)),
            sum((share * part.drawn for share, part in zip(shares, parts, strict=True)), start=np.zeros(1)),
        )

    def __sub__(self, other: Areas) -> Areas:
        """By how much this model is above another on the same studies, resample by resample."""
        return Areas(self.values - other.values, self.drawn - other.drawn)

    def estimate(self, columns: Sequence[int]) -> Estimate:
        """The mean over those of ``columns`` that are defined, and its interval.

        A resample counts when all of them are defined in it: the mean of whatever labels happen to be defined
        would be another figure in every resample.
        """
        defined = [column for column in columns if not np.isnan(self.values[column])]
        if not defined:
            return Estimate()
        drawn = self.drawn[:, defined].mean(axis=1)
        drawn = drawn[~np.isnan(drawn)]
        low, high = _interval(drawn)
        return Estimate(value=float(self.values[defined].mean()), low=low, high=high, resamples=len(drawn))


def _resample(studies: int, resamples: int, seed: int) -> Iterator[NDArray[np.int32]]:
    """How often each study is drawn, in blocks of resamples: int32, shape (studies, block)."""
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS // studies)
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = generator.integers(0, studies, (count, studies))
        drawn += studies * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * studies).reshape(count, studies)
        yield np.ascontiguousarray(weights.T, dtype=np.int32)


def _interval(counted: Floats) -> tuple[float, float] | tuple[None, None]:
    if len(counted) < FEWEST:
        return None, None
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(counted, (tail, 1.0 - tail))
    return float(low), float(high)
