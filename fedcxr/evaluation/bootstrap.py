"""Resamples of patients, and the 95 % percentile interval over them (Efron and Tibshirani 1993, chapter 13).

Patients are drawn with replacement, each with all its studies and all their labels: two studies of one
patient are no two witnesses, and an interval that takes them for such is too narrow (Field and Welsh,
"Bootstrapping clustered data", JRSS B 69, 2007). Labels are resampled together, so that a mean over labels
has an interval of its own. Resamples follow from (number of patients, seed) alone: two models evaluated on
the same studies with the same seed meet the same resamples, and the difference between them has a paired
interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.evaluation.auroc import LARGE, Floats, Ranking
from fedcxr.evaluation.scores import Estimate
from fedcxr.evaluation.studies import StudyScores

LEVEL = 0.95
FEWEST = 40  # resamples below which 2.5 % of them is less than one, and no interval is given

_CELLS = 1 << 20  # weights held at once: 4 MB, about what a core's cache holds

Measure = Callable[[NDArray[np.int32]], Floats]
"""Weights of m studies in R resamples, int32 (m, R), to K figures in each, float64 (R, K)."""


@dataclass(frozen=True, eq=False)
class Resampled:
    """K figures, and their values in each of R resamples.

    Attributes:
        values: float64, shape (K,); NaN where a figure is undefined, as an AUROC of one class.
        drawn: float64, shape (R, K); NaN where it is undefined in the resample.
    """

    values: Floats
    drawn: Floats

    @classmethod
    def measure(cls, patients: NDArray[np.int64], measure: Measure, resamples: int, seed: int) -> Resampled:
        """Measure figures on some studies, and on ``resamples`` resamples of their patients.

        Args:
            patients: int64, shape (m,), m > 0: equal for studies of one patient.
            measure: gives the K figures under weightings of the m studies.
            resamples: how many; 0 for none.
            seed: of the resamples.
        """
        whole = measure(np.ones((len(patients), 1), dtype=np.int32))
        blocks = [measure(weights) for weights in _resample(patients, resamples, seed)]
        return cls(whole[0], np.concatenate([np.empty((0, whole.shape[1])), *blocks]))

    @classmethod
    def mean(cls, parts: Sequence[Resampled], weights: Sequence[float]) -> Resampled:
        """The weighted mean of several models' figures, resample by resample: all on the same studies."""
        shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
        return cls(
            sum((share * part.values for share, part in zip(shares, parts, strict=True)), start=np.zeros(1)),
            sum((share * part.drawn for share, part in zip(shares, parts, strict=True)), start=np.zeros(1)),
        )

    def __sub__(self, other: Resampled) -> Resampled:
        """This model's figures minus another's on the same studies, resample by resample."""
        return Resampled(self.values - other.values, self.drawn - other.drawn)

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


def areas(scored: StudyScores, resamples: int, seed: int) -> Resampled:
    """The AUROCs of all L labels of some studies, under ``resamples`` resamples of their patients."""
    labels = scored.labels.shape[1]
    if not len(scored):
        return Resampled(np.full(labels, np.nan), np.full((resamples, labels), np.nan))
    rankings = []
    for column in range(labels):
        rows, positive = scored.known(column)
        rankings.append(Ranking.of(scored.scores[rows, column], positive, rows))

    def measure(weights: NDArray[np.int32]) -> Floats:
        return np.stack([ranking.auroc(weights) for ranking in rankings], axis=1)

    return Resampled.measure(scored.patients, measure, resamples, seed)


def _resample(patients: NDArray[np.int64], resamples: int, seed: int) -> Iterator[NDArray[np.int32]]:
    """How often each study is drawn, in blocks of resamples: int32, shape (studies, block)."""
    generator = np.random.default_rng(seed)
    codes = np.unique(patients, return_inverse=True)[1]
    count = int(codes.max()) + 1
    alone = count == len(codes) and bool((codes == np.arange(count)).all())
    block = max(1, _CELLS // len(codes))
    for start in range(0, resamples, block):
        rows = np.empty((min(block, resamples - start), count), dtype=np.int32)
        for row in rows:  # one histogram at a time stays in the processor's cache
            row[:] = np.bincount(generator.integers(0, count, count), minlength=count)
        drawn = (rows if alone else rows[:, codes]).T
        yield drawn if len(codes) > LARGE else np.ascontiguousarray(drawn)  # as Ranking wants them


def _interval(counted: Floats) -> tuple[float, float] | tuple[None, None]:
    if len(counted) < FEWEST:
        return None, None
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(counted, (tail, 1.0 - tail))
    return float(low), float(high)
