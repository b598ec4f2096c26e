"""Predictions in the format of CheXpert's competition: a CSV with one row for each study.

::

    Study,Atelectasis,Cardiomegaly,Consolidation,Edema,Pleural Effusion
    CheXpert-v1.0/valid/patient64541/study1,0.164103,0.341190,0.101030,0.122174,0.458980

``Study`` is the folder that holds the study's views, as the input CSV's paths write it. A study's probability
is the maximum over its views. https://stanfordmlgroup.github.io/competitions/chexpert/
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcxr import files
from fedcxr.data.chexpert import ChexpertTable
from fedcxr.data.labels import COMPETITION_LABELS, LABELS
from fedcxr.errors import DataError


@dataclass(frozen=True, eq=False, repr=False)
class StudyPredictions:
    """The predictions of m studies, in the order in which the table first names them.

    Attributes:
        studies: such as ``CheXpert-v1.0/valid/patient64541/study1``; paths where images are given singly.
        probabilities: float32, shape (m, 14).
        column: what names a row in the CSV: ``Study``, or ``Path`` where each row is an image.
    """

    studies: tuple[str, ...]
    probabilities: NDArray[np.float32]
    column: Literal["Study", "Path"] = "Study"

    def __repr__(self) -> str:
        """The number of rows and of labels, not the probabilities."""
        return f"StudyPredictions({len(self.studies):,} rows, {self.probabilities.shape[1]} labels)"

    @classmethod
    def of(cls, table: ChexpertTable, probabilities: NDArray[np.float32]) -> StudyPredictions:
        """Reduce the probabilities of a table's n images, float32 (n, 14), to its studies.

        Raises:
            DataError: another shape.
        """
        if probabilities.shape != (len(table), len(LABELS)):
            raise DataError(
                f"{table.csv}: {len(table)} images, but probabilities of shape {probabilities.shape}."
            )
        prefix = f"{table.folder}/" if table.folder else ""
        position: dict[str, int] = {}
        index = np.array(
            [
                position.setdefault(prefix + path.rpartition("/")[0], len(position))
                for path in table.paths.tolist()
            ],
            dtype=np.int64,
        )
        highest = np.full((len(position), len(LABELS)), -np.inf, dtype=np.float32)
        np.maximum.at(highest, index, probabilities)
        return cls(tuple(position), highest)

    def write(self, path: Path, labels: Sequence[str] = COMPETITION_LABELS) -> None:
        """Write the CSV, each probability with as many digits as it needs.

        Raises:
            StoreError: it cannot be written.
        """
        columns = [LABELS.index(label) for label in labels]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([self.column, *labels])
        for study, row in zip(self.studies, self.probabilities[:, columns], strict=True):
            writer.writerow([study, *(np.format_float_positional(p, trim="0") for p in row)])
        files.write(path, text.getvalue())
