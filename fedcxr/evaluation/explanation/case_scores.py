"""The scores of every explained case by every method, by which methods and models are compared.

As CSV, a row a case and method::

    Path,label,patient,method,hit,coverage,energy,area,deletion,insertion
    CheXpert-v1.0/valid/patient00017/study1/view1_frontal.jpg,Edema,17,grad-cam,1,0.41,0.12,0.05,0.31,0.62
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcxr.errors import DataError, StoreError
from fedcxr.evaluation.auroc import Floats
from fedcxr.evaluation.bootstrap import Resampled
from fedcxr.evaluation.explanation.localisation import means
from fedcxr.evaluation.explanation.saliency import Method

COLUMNS = ("hit", "coverage", "energy", "area", "deletion", "insertion")
_CASE = ("Path", "label", "patient")


@dataclass(frozen=True, eq=False)
class CaseScores:
    """The scores of n cases by every method.

    Attributes:
        cases: n rows of Path, label and patient, a number that a patient's images share.
        methods: by name, float64 (n, 6) of :data:`COLUMNS`; NaN where a case has no mask, or an empty map.
    """

    cases: pd.DataFrame
    methods: Mapping[str, Floats]

    @classmethod
    def of(
        cls,
        paths: NDArray[np.str_],
        labels: NDArray[np.str_],
        patients: NDArray[np.int64],
        methods: Mapping[Method, Floats],
    ) -> Self:
        """Make the scores from n paths, labels and patients."""
        cases = pd.DataFrame(dict(zip(_CASE, (paths, labels, patients), strict=True)))
        return cls(cases, {method.value: scores for method, scores in methods.items()})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the scores from a CSV; raises StoreError where the file is none."""
        try:
            frame = pd.read_csv(path)
            groups = {str(name): rows for name, rows in frame.groupby("method", sort=False)}
            methods = {name: rows[list(COLUMNS)].to_numpy(np.float64) for name, rows in groups.items()}
            cases = next(iter(groups.values()))[list(_CASE)].reset_index(drop=True)
        except (OSError, ValueError, KeyError, StopIteration) as error:
            raise StoreError(f"{path}: no scores of explained cases: {error}") from None
        if any(len(rows) != len(cases) for rows in groups.values()):
            raise StoreError(f"{path}: methods are not on the same cases.")
        return cls(cases, methods)

    def to_csv(self) -> str:
        """The scores as a CSV, with six digits of each figure."""
        text = io.StringIO()
        for number, (method, values) in enumerate(self.methods.items()):
            scores = pd.DataFrame(values, columns=list(COLUMNS))
            rows = pd.concat([self.cases.assign(method=method), scores], axis=1)
            rows.to_csv(text, index=False, header=number == 0, float_format="%.6g", lineterminator="\n")
        return text.getvalue()

    def minus(self, other: CaseScores, own: str, others: str, *, resamples: int, seed: int) -> Resampled:
        """The six mean scores of method ``own`` minus those of ``other``'s method ``others``, paired by case.

        Raises:
            DataError: they are not of the same cases.
        """
        if not self.cases.equals(other.cases):
            raise DataError("two models were not explained on the same cases: no difference is paired.")
        values = self.methods[own] - other.methods[others]
        return means(values, self.cases["patient"].to_numpy(np.int64), resamples, seed)
