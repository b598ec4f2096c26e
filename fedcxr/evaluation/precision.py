"""Average precision: the area under the precision-recall curve as steps, for many weightings at once.

AP = Σ (R_k − R_{k−1}) P_k over the distinct scores from the highest down, ties taken together; no
interpolation, which would flatter (Davis and Goadrich, ICML 2006). It is scikit-learn's
``average_precision_score``. Unlike the AUROC it depends on prevalence: a random score has the share of
positives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedcxr.evaluation.auroc import Floats


def weighted_average_precision(
    scores: NDArray[np.floating], positive: NDArray[np.bool_], weights: NDArray[np.int32]
) -> Floats:
    """The average precision under each of R weightings.

    Args:
        scores: shape (m,), finite.
        positive: bool, shape (m,).
        weights: int32, shape (m, R), not negative: how often each of the m counts.

    Returns:
        float64, shape (R,); NaN where a class has no weight: with positives alone any score is perfect.
    """
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], positive[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], [True] * bool(len(ordered))))
    drawn = weights[order]
    total = drawn.cumsum(axis=0, dtype=np.int32)[ends]
    found = (drawn * hits[:, None]).cumsum(axis=0, dtype=np.int32)[ends]
    if not len(ends):
        return np.full(weights.shape[1], np.nan)
    gained = np.diff(found, axis=0, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(total > 0, found / total, 0.0)
        areas: Floats = np.einsum("kr,kr->r", gained, precision) / found[-1]
    areas[(found[-1] == 0) | (found[-1] == total[-1])] = np.nan
    return areas
