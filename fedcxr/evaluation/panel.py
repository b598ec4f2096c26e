"""The panel of figures that clinical papers give: per label, macro and micro, with intervals.

AUROC and average precision need no threshold; accuracy, F1, sensitivity and specificity are taken at
thresholds that were fitted on other patients (:mod:`fedcxr.evaluation.thresholds`); the Brier score and the
calibration error want probabilities. Of several labels at once: subset accuracy, the share of studies whose
known labels are all right, and Hamming accuracy, the share of known labels that are right.

Macro is the plain mean over labels; micro pools all (study, label) pairs, so that frequent labels weigh more.
Intervals resample patients; thresholds and calibration bins stay as they are, so an interval says how the
figures vary and not how the thresholds do. A calibration error is biased upwards in every resample, and most
where it is small: read its interval as an upper one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import LABELS
from fedcxr.evaluation.auroc import Floats, Ranking
from fedcxr.evaluation.bootstrap import Resampled
from fedcxr.evaluation.calibration import BINS, WIDE_BINS, equal_mass_bins, equal_width_bins
from fedcxr.evaluation.precision import average_precision
from fedcxr.evaluation.scores import Estimate
from fedcxr.evaluation.studies import StudyScores

ECE = ("ece_equal_mass", "ece_equal_width")
METRICS = ("auroc", "auprc", "accuracy", "f1", "sensitivity", "specificity", "brier", *ECE)
MULTILABEL = ("subset_accuracy", "hamming_accuracy")


@dataclass(frozen=True)
class Panel:
    """The figures of one model on one set of studies.

    Attributes:
        labels: by label, each of :data:`METRICS`; what is undefined has no value.
        macro: the mean of each over the labels that have it.
        micro: each over all known (study, label) pairs.
        multilabel: each of :data:`MULTILABEL`.
        thresholds: by label: the mean of the thresholds that studies were held against.
        probabilities: whether all scores are in [0, 1]; else Brier score and calibration error are undefined.
    """

    labels: Mapping[str, Mapping[str, Estimate]]
    macro: Mapping[str, Estimate]
    micro: Mapping[str, Estimate]
    multilabel: Mapping[str, Estimate]
    thresholds: Mapping[str, float | None]
    probabilities: bool


def measure_panel(
    scored: StudyScores, labels: Sequence[str], thresholds: Floats, *, resamples: int, seed: int
) -> Panel:
    """Measure every figure of some labels of m studies.

    Args:
        scored: the studies, m > 0.
        labels: those measured.
        thresholds: float64, shape (14,), or (m, 14) where studies have thresholds of their own; NaN where
            none could be fitted.
        resamples: of patients, for the intervals; 0 for none.
        seed: of the resamples.
    """
    columns = [LABELS.index(label) for label in labels]
    table = _Table.of(scored, columns, np.broadcast_to(thresholds, scored.labels.shape))
    measured = Resampled.measure(scored.patients, table.measure, resamples, seed)
    return _assemble(measured, labels, table)


@dataclass(frozen=True, eq=False)
class _Table:
    """The counts behind the figures, of L labels of m studies."""

    scores: Floats  # (m, L)
    positive: NDArray[np.bool_]  # (m, L), False where unknown
    known: NDArray[np.bool_]
    thresholds: Floats  # (m, L)
    probabilities: bool
    rankings: tuple[Ranking, ...]  # of each label, then of all (study, label) pairs: sorted once

    @classmethod
    def of(cls, scored: StudyScores, columns: Sequence[int], thresholds: Floats) -> _Table:
        codes, pooled = scored.labels[:, columns], range(len(columns))
        scores = scored.scores[:, columns].astype(np.float64)
        known = codes >= 0
        inside = scores[known]
        rankings = []
        for chosen in (*([column] for column in pooled), list(pooled)):
            rows, which = np.nonzero(known[:, chosen])
            case = scores[:, chosen][rows, which], codes[:, chosen][rows, which] == 1
            rankings.append(Ranking.of(*case, rows))
        return cls(
            scores=scores,
            positive=codes == 1,
            known=known,
            thresholds=thresholds[:, columns],
            probabilities=bool(len(inside)) and inside.min() >= 0 and inside.max() <= 1,
            rankings=tuple(rankings),
        )

    def measure(self, weights: NDArray[np.int32]) -> Floats:
        """Figures of labels, then micro, then of several labels at once: float64 (R, 9 (L + 1) + 2)."""
        ranked = [(each.auroc(weights), average_precision(each, weights)) for each in self.rankings]
        areas = np.moveaxis(np.array(ranked), -1, 0)  # (R, L + 1, 2)
        counts = self._decided(weights)
        meant = self._meant(weights)
        figures = np.concatenate([areas, _rates(counts), meant], axis=2)
        return np.concatenate([figures.reshape(len(figures), -1), self._together(weights)], axis=1)

    @property
    def _decidable(self) -> NDArray[np.bool_]:
        return self.known & ~np.isnan(self.thresholds)

    @property
    def _right(self) -> NDArray[np.bool_]:
        right: NDArray[np.bool_] = (self.scores >= self.thresholds) == self.positive
        return right

    def _decided(self, weights: NDArray[np.int32]) -> Floats:
        """True and false positives and negatives, float64 (R, L + 1, 4); the last row pools."""
        yes, positive, some = self.scores >= self.thresholds, self.positive, self._decidable
        cells = (
            some & yes & positive,
            some & yes & ~positive,
            some & ~yes & positive,
            some & ~yes & ~positive,
        )
        counts = np.stack([_weigh(weights, cell) for cell in cells], axis=2)
        return np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1)

    def _meant(self, weights: NDArray[np.int32]) -> Floats:
        """Brier score and both calibration errors, float64 (R, L + 1, 3); the last row pools."""
        labels = self.known.shape[1]
        if not self.probabilities:
            return np.full((weights.shape[1], labels + 1, 1 + len(ECE)), np.nan)
        residual = np.where(self.known, self.positive - self.scores, 0.0)
        total, squared = _weigh(weights, self.known), _weigh(weights, residual**2)
        total = np.concatenate([total, total.sum(axis=1, keepdims=True)], axis=1)
        squared = np.concatenate([squared, squared.sum(axis=1, keepdims=True)], axis=1)
        pools = [*([column] for column in range(labels)), list(range(labels))]
        binned = np.stack([self._gaps(weights, residual, pool) for pool in pools], axis=1)
        with np.errstate(invalid="ignore"):
            return np.concatenate([(squared / total)[..., None], binned / total[..., None]], axis=2)

    def _gaps(self, weights: NDArray[np.int32], residual: Floats, columns: Sequence[int]) -> Floats:
        """The bins' absolute sums of residuals, added, float64 (R, 2): of equal mass, and of equal width."""
        rows, chosen = np.nonzero(self.known[:, columns])
        which = np.asarray(columns)[chosen]
        gaps = []
        for bins in (equal_mass_bins, equal_width_bins):
            spread = np.zeros((len(self.known), max(BINS, WIDE_BINS)))
            np.add.at(spread, (rows, bins(self.scores[rows, which])), residual[rows, which])
            gaps.append(np.abs(_weigh(weights, spread)).sum(axis=1))
        return np.stack(gaps, axis=1)

    def _together(self, weights: NDArray[np.int32]) -> Floats:
        """Subset and Hamming accuracy, float64 (R, 2), over studies with a label that can be decided."""
        some, right = self._decidable, self._right
        counted = some.any(axis=1)
        cells = np.stack(
            [counted & (right | ~some).all(axis=1), counted, (right & some).sum(axis=1), some.sum(axis=1)],
            axis=1,
        )
        subset, studies, hits, pairs = _weigh(weights, cells).T
        with np.errstate(invalid="ignore"):
            return np.stack([subset / studies, hits / pairs], axis=1)


def _weigh(weights: NDArray[np.int32], values: NDArray[np.generic]) -> Floats:
    """Sums of m rows of values, (m, K), under R weightings, int32 (m, R): float64 (R, K)."""
    sums: Floats = weights.T.astype(np.float64) @ values.astype(np.float64)
    return sums


def _rates(counts: Floats) -> Floats:
    """Accuracy, F1, sensitivity, specificity of (…, 4) counts; NaN where nothing is counted."""
    hits, alarms, misses, passes = np.moveaxis(counts, -1, 0)
    with np.errstate(invalid="ignore"):
        return np.stack(
            [
                (hits + passes) / counts.sum(axis=-1),
                2 * hits / (2 * hits + alarms + misses),
                hits / (hits + misses),
                passes / (passes + alarms),
            ],
            axis=-1,
        )


def _assemble(measured: Resampled, labels: Sequence[str], table: _Table) -> Panel:
    width, count = len(METRICS), len(labels)

    def figures(row: int) -> dict[str, Estimate]:
        return {name: measured.estimate([row * width + k]) for k, name in enumerate(METRICS)}

    def mean(k: int) -> Estimate:
        return measured.estimate([row * width + k for row in range(count)])

    fitted = np.where(table.known, table.thresholds, np.nan)
    return Panel(
        labels={label: figures(row) for row, label in enumerate(labels)},
        macro={name: mean(k) for k, name in enumerate(METRICS)},
        micro=figures(count),
        multilabel={name: measured.estimate([(count + 1) * width + k]) for k, name in enumerate(MULTILABEL)},
        thresholds={
            label: None if np.isnan(column).all() else float(np.nanmean(column))
            for label, column in zip(labels, fitted.T, strict=True)
        },
        probabilities=table.probabilities,
    )
