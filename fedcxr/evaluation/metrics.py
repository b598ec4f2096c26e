"""The evaluation of probabilities as CheXpert does it: per study, by AUROC, on raw labels.

Only labels of 1 and 0 are truth here; uncertain (-1) and blank ones are left out, whatever the training's
policy makes of them. (CheXpert's own validation set, read by radiologists, has neither.) A label with one
class has no AUROC: None, never a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import COMPETITION_LABELS, LABELS
from fedcxr.errors import DataError
from fedcxr.evaluation.bootstrap import Resampled, areas
from fedcxr.evaluation.scores import Estimate, Evaluation, LabelScore, MeanScore, Scores
from fedcxr.evaluation.studies import StudyScores, score_studies
from fedcxr.seeds import derive_seed

__all__ = ["Estimate", "Evaluation", "LabelScore", "MeanScore", "Scores", "evaluate"]

COMPETITION = tuple(LABELS.index(label) for label in COMPETITION_LABELS)
"""Columns of the five competition tasks."""

ALL = tuple(range(len(LABELS)))
"""Columns of all labels."""


def evaluate(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int8],
    studies: NDArray[np.int64],
    patients: NDArray[np.int64],
    *,
    hospitals: Mapping[str, NDArray[np.int64]] | None = None,
    bootstrap: int,
    seed: int,
) -> Evaluation:
    """Score n images by their studies.

    Args:
        probabilities: float32, shape (n, 14), in the order of :data:`~fedcxr.data.labels.LABELS`.
        labels: int8, shape (n, 14): 1, 0, -1 or blank.
        studies: int64, shape (n,): equal for the views of one study.
        patients: int64, shape (n,): equal for the images of one patient.
        hospitals: rows into n of each hospital; one that has none is reported with nothing defined.
        bootstrap: resamples of patients; 0 for no interval.
        seed: of the resamples; each hospital's derive from it and the hospital's name.

    Raises:
        DataError: shapes that do not fit; a hospital's row outside the n; a negative ``bootstrap``.
        NonFiniteError: a probability is NaN or infinite.
    """
    if bootstrap < 0:
        raise DataError(f"bootstrap = {bootstrap}: the number of resamples is 0 or more.")
    scored = score_studies(probabilities, labels, studies, patients)
    parts = {}
    for name, rows in (hospitals or {}).items():
        if len(rows) and (rows.min() < 0 or rows.max() >= len(studies)):
            raise DataError(f"hospital {name!r}: rows {rows.min()} to {rows.max()} of {len(studies)} images.")
        part = score_studies(probabilities[rows], labels[rows], studies[rows], patients[rows])
        parts[name] = make_scores(part, areas(part, bootstrap, derive_seed(seed, "hospital", name)))
    return make_evaluation(scored, areas(scored, bootstrap, seed), parts)


def make_evaluation(scored: StudyScores, measured: Resampled, hospitals: Mapping[str, Scores]) -> Evaluation:
    """Make an :class:`Evaluation` of areas that are measured already."""
    scores = make_scores(scored, measured)
    return Evaluation(
        images=scores.images,
        studies=scores.studies,
        labels=scores.labels,
        competition=scores.competition,
        macro=scores.macro,
        bootstrap=len(measured.drawn),
        hospitals=dict(hospitals),
    )


def make_scores(scored: StudyScores, measured: Resampled) -> Scores:
    """Make the :class:`Scores` of areas that are measured already; counts come from the studies."""
    return Scores(
        images=scored.images,
        studies=len(scored),
        labels=tuple(_label_score(scored, measured, column) for column in ALL),
        competition=_mean_score(measured, COMPETITION),
        macro=_mean_score(measured, ALL),
    )


def _label_score(scored: StudyScores, measured: Resampled, column: int) -> LabelScore:
    rows, positive = scored.known(column)
    owners = scored.patients[rows]
    estimate = measured.estimate([column])
    return LabelScore(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        resamples=estimate.resamples,
        label=LABELS[column],
        positives=int(positive.sum()),
        negatives=int((~positive).sum()),
        positive_patients=len(np.unique(owners[positive])),
        negative_patients=len(np.unique(owners[~positive])),
    )


def _mean_score(measured: Resampled, columns: Sequence[int]) -> MeanScore:
    estimate = measured.estimate(columns)
    return MeanScore(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        resamples=estimate.resamples,
        labels=tuple(LABELS[column] for column in columns if not np.isnan(measured.values[column])),
        of=len(columns),
    )
