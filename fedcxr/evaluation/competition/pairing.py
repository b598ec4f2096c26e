"""The pairing of predictions with truth: the same studies in the same order, whatever the files' order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedcxr.data.labels import BLANK, LABELS
from fedcxr.errors import DataError, TableError
from fedcxr.evaluation.competition.sheets import Sheet
from fedcxr.evaluation.studies import StudyScores

_SHOWN = 3  # studies named in a message


def pair(predictions: Sheet, truth: Sheet, labels: Sequence[str]) -> StudyScores:
    """Pair predictions with the truth's studies, in the order of the studies' names.

    Predictions of other studies are left out. Labels other than ``labels`` become unknown.

    Raises:
        TableError: a study of the truth has no prediction, or is of another split in the predictions.
    """
    position = {study: row for row, study in enumerate(predictions.studies)}
    rows = np.array([position.get(study, -1) for study in truth.studies], dtype=np.int64)
    _check(predictions, truth, rows)
    columns = [LABELS.index(label) for label in labels]
    codes = np.full(truth.values.shape, BLANK, dtype=np.int8)
    codes[:, columns] = truth.values[:, columns]
    scores = np.zeros(truth.values.shape)
    scores[:, columns] = predictions.values[rows][:, columns]
    _, patients = np.unique(np.array(truth.patients), return_inverse=True)
    images = int(np.maximum(predictions.views[rows], 1).sum())
    return StudyScores(images, scores, codes, patients)


def fewer_views(predictions: Sheet, truth: Sheet) -> tuple[str, ...]:
    """The studies of which both name images, and the predictions fewer than the truth."""
    held = dict(zip(predictions.studies, predictions.views.tolist(), strict=True))
    wanted = zip(truth.studies, truth.views.tolist(), strict=True)
    return tuple(study for study, views in wanted if 0 < held.get(study, views) < views)


def check_apart(calibration: Sheet, test: Sheet) -> None:
    """Check that no patient is both among those that thresholds are fitted on and those they are scored on.

    Raises:
        DataError: they share patients.
    """
    shared = sorted(set(calibration.patients) & set(test.patients))
    if shared:
        raise DataError(
            f"{calibration.csv}: {len(shared)} of its patients are in {test.csv} too ({_some(shared)}): "
            "thresholds are fitted on other patients than they are scored on."
        )


def _check(predictions: Sheet, truth: Sheet, rows: np.ndarray) -> None:
    missing = np.flatnonzero(rows < 0).tolist()
    if missing:
        named = _some([truth.studies[row] for row in missing])
        own = f"; its own are such as {predictions.studies[0]}" if len(missing) == len(truth) else ""
        raise TableError(
            f"{predictions.csv}: no prediction for {len(missing):,} of the {len(truth):,} studies of "
            f"{truth.csv}, such as {named} (row {truth.lines[missing[0]]} there){own}."
        )
    for row, (mine, split) in enumerate(zip(rows.tolist(), truth.splits, strict=True)):
        other = predictions.splits[mine]
        if split and other and split != other:
            raise TableError(
                f"{predictions.csv}, row {predictions.lines[mine]}: {truth.studies[row]} is of split "
                f"{other!r} here, and of {split!r} in {truth.csv}, row {truth.lines[row]}."
            )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
