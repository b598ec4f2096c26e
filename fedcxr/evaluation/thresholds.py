"""Decision thresholds, fitted on other patients than they are scored on.

A threshold of 0.5 means nothing to a network trained on rare findings, and one fitted on the studies that it
is scored on flatters. So thresholds come from a calibration set of other patients, or, where a run has one
validation set, by cross-fitting over patients: they are dealt into five folds, and each fold's thresholds are
fitted on the other four.

The criterion is Youden's index, sensitivity + specificity − 1 (Cancer 3, 1950), or a sensitivity that must
be reached, at the highest specificity that allows it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import LABELS
from fedcxr.evaluation.auroc import Floats
from fedcxr.evaluation.scores import lacking
from fedcxr.evaluation.studies import StudyScores
from fedcxr.seeds import derive_seed

FOLDS = 5


def fit_threshold(scores: NDArray[np.floating], positive: NDArray[np.bool_], target: float = 0.0) -> float:
    """Fit the threshold t of "positive where score ≥ t", halfway between two of the m scores.

    Args:
        scores: shape (m,), finite.
        positive: bool, shape (m,).
        target: sensitivity that is reached on these; 0 for Youden's index, of equals the highest threshold.

    Returns:
        NaN where a class is absent.
    """
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order].astype(np.float64)
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    sensitivity = positive[order].cumsum()[ends] / ones
    false_alarms = (~positive[order]).cumsum()[ends] / zeros
    if target > 0:
        best = int(np.flatnonzero(sensitivity >= target)[0])
    else:
        best = int(np.argmax(sensitivity - false_alarms))
    chosen = ordered[ends[best]]
    below = ordered[ends[best] + 1] if ends[best] + 1 < len(ordered) else chosen
    middle = float(chosen / 2 + below / 2)  # their sum may be more than a float holds
    return middle if middle > below else float(chosen)  # between neighbouring floats there is no middle


def fit_thresholds(scored: StudyScores, target: float = 0.0) -> Floats:
    """Fit one threshold for each label on a calibration set, float64 (14,); NaN where a class is absent."""
    found = []
    for column in range(scored.labels.shape[1]):
        rows, positive = scored.known(column)
        found.append(fit_threshold(scored.scores[rows, column], positive, target))
    return np.array(found)


def unfitted(thresholds: Floats, labels: Sequence[str], calibration: StudyScores | None) -> list[str]:
    """Sentences that say which labels have no threshold, and why.

    Args:
        thresholds: float64, (14,) or (m, 14), as fitted.
        labels: those asked of.
        calibration: the studies that they were fitted on; None where cross-fitted.
    """
    said = []
    for label in labels:
        column = LABELS.index(label)
        if not np.isnan(thresholds[..., column]).any():
            continue
        why = "too few patients of a class for cross-fitting"
        if calibration is not None:
            _, positive = calibration.known(column)
            why = f"the calibration truth has {lacking(int(positive.sum()), int((~positive).sum()))}"
        said.append(
            f"{label}: {why}: no threshold; what is decided at thresholds, means, micro, subset and Hamming "
            "accuracy too, leaves it out."
        )
    return said


def rule(target: float) -> str:
    """The rule that thresholds are chosen by, in words."""
    return f"sensitivity of at least {target:g}" if target else "Youden's index"


def cross_fit(scored: StudyScores, seed: int, target: float = 0.0) -> Floats:
    """Fit a threshold for each study and label on the other folds' patients, float64 (m, 14).

    The deal follows from the number of patients and ``seed``. A label of which some folds lack a class has
    no threshold, NaN, for any study: figures over the rest would be of other studies, perhaps of no case. So
    with fewer than two patients.
    """
    codes = np.unique(scored.patients, return_inverse=True)[1]
    patients = int(codes.max(initial=-1)) + 1
    found = np.full(scored.labels.shape, np.nan)
    if patients < 2:
        return found
    dealt = np.arange(patients) % FOLDS
    fold = np.random.default_rng(derive_seed(seed, "threshold folds")).permutation(dealt)[codes]
    for number in range(FOLDS):
        inside = fold == number
        others = StudyScores(
            0, scored.scores[~inside], scored.labels[~inside], scored.patients[~inside]
        )  # images are not counted here
        found[inside] = fit_thresholds(others, target)
    found[:, np.isnan(found).any(axis=0)] = np.nan
    return found
