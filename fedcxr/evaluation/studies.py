"""The reduction of images to studies, the unit that CheXpert scores.

A study's score is the maximum over its views (Irvin et al. 2019, section 4): a finding seen on one view is
there. A study's rows share their labels, for the labels come from its one report; should they differ, the
highest code stands: positive over negative over uncertain over blank.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import BLANK, LABELS
from fedcxr.errors import DataError, NonFiniteError


@dataclass(frozen=True, eq=False)
class StudyScores:
    """The scores and labels of m studies.

    Attributes:
        images: rows that they were made from.
        scores: floating, shape (m, 14): probabilities, or any score that orders the studies.
        labels: int8, shape (m, 14): raw codes.
        patients: int64, shape (m,): equal for studies of one patient.
    """

    images: int
    scores: NDArray[np.floating]
    labels: NDArray[np.int8]
    patients: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def known(self, column: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The studies that count for a label, int64 (k,), and which of them are positive, bool (k,).

        Only 1 and 0 count: an uncertain or blank label is no truth to be scored against.
        """
        rows = np.flatnonzero(self.labels[:, column] >= 0)
        return rows, self.labels[rows, column] == 1


def score_studies(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int8],
    studies: NDArray[np.int64],
    patients: NDArray[np.int64],
) -> StudyScores:
    """Reduce n images to their studies, in the order of the study codes.

    Args:
        probabilities: float32, shape (n, 14).
        labels: int8, shape (n, 14): 1, 0, -1 or blank.
        studies: int64, shape (n,): equal for the views of one study.
        patients: int64, shape (n,): equal for the images of one patient.

    Raises:
        DataError: shapes that do not fit, a study of two patients, or a label that is none of the four.
        NonFiniteError: a probability is NaN or infinite.
    """
    _check(probabilities, labels, studies)
    if patients.shape != studies.shape:
        raise DataError(f"patients have the shape {patients.shape}; for {len(studies)} images it is as many.")
    if not len(studies):
        return StudyScores(0, probabilities, labels, patients)
    order = np.argsort(studies, kind="stable")
    ordered, owners = studies[order], patients[order]
    first = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    if (~first[1:] & (owners[1:] != owners[:-1])).any():
        raise DataError("a study has images of two patients; a study is one patient's.")
    starts = np.flatnonzero(first)
    return StudyScores(
        images=len(studies),
        scores=np.maximum.reduceat(probabilities[order], starts, axis=0),
        labels=np.maximum.reduceat(labels[order], starts, axis=0),
        patients=owners[starts],
    )


def _check(probabilities: NDArray[np.float32], labels: NDArray[np.int8], studies: NDArray[np.int64]) -> None:
    wanted = (len(studies), len(LABELS))
    for name, array in (("probabilities", probabilities), ("labels", labels)):
        if array.shape != wanted:
            raise DataError(f"{name} have the shape {array.shape}; for {len(studies)} images it is {wanted}.")
    if labels.size and (labels.min() < BLANK or labels.max() > 1):
        raise DataError(f"raw labels are 1, 0, -1 or {BLANK} (blank), not {labels.min()} to {labels.max()}.")
    faulty = ~np.isfinite(probabilities)
    if faulty.any():
        row, column = np.argwhere(faulty)[0].tolist()
        raise NonFiniteError(
            f"the probability of {LABELS[column]} for image {row} is {probabilities[row, column]}; "
            f"{int(faulty.any(axis=1).sum())} of {len(studies)} images have such a value."
        )
