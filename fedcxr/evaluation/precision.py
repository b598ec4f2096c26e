"""Average precision: the area under the precision-recall curve as steps, for many weightings at once.

AP = Σ (R_k − R_{k−1}) P_k over the distinct scores from the highest down, ties taken together; no
interpolation, which would flatter (Davis and Goadrich, ICML 2006). It is scikit-learn's
``average_precision_score``. Unlike the AUROC it depends on prevalence: a random score has the share of
positives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedcxr.evaluation.auroc import Floats, Ranking


def average_precision(ranking: Ranking, weights: NDArray[np.int32]) -> Floats:
    """The average precision of ranked cases under each of R weightings.

    A positive adds its weight times the precision at its score, so that only positives are looked at.

    Args:
        ranking: of the cases; its rows are those of the weights.
        weights: int32, shape (rows, R), not negative: how often each row counts.

    Returns:
        float64, shape (R,); NaN where a class has no weight: with positives alone any score is perfect.
    """
    return np.array([_weighted(ranking, row) for row in np.ascontiguousarray(weights.T)], dtype=np.float64)


def _weighted(ranking: Ranking, weights: NDArray[np.int32]) -> float:
    """The average precision under one weighting, (rows,): one at a time stays in a core's cache."""
    chosen = weights[ranking.positives]
    hits, alarms = _above(chosen, ranking.first), _above(weights[ranking.negatives], ranking.below)
    total = int(chosen.sum())
    if not total or not weights[ranking.negatives].any():
        return float("nan")
    precision = np.divide(hits, hits + alarms, out=np.zeros(len(hits)), where=hits > 0)
    return float(chosen @ precision) / total


def _above(weights: NDArray[np.int32], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The weight from each of some positions on, of weights in the order of rising scores."""
    sums = np.zeros(len(weights) + 1, dtype=np.int64)
    np.cumsum(weights, out=sums[1:])
    return np.asarray(sums[-1] - sums[starts])
