"""A CSV in the layout of CheXpert: one row an image, patient and study in the path, 14 labels.

Irvin et al., "CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels and Expert Comparison" (AAAI
2019). Both releases (CheXpert-v1.0 and -small) and whatever copies their columns are read, oddities and all:
Sex "Unknown", Age 0 or blank, projection "LL" or "RL", a byte-order mark, CRLF, labels as 1 or as 1.0. What
cannot be meant is refused with the file, the line and the column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.columns import Columns, read_columns
from fedcxr.data.labels import BLANK, LABELS

COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS)
"""The columns that a table must have, in any order; others are passed over."""

AGE_UNKNOWN = -1
"""Age of a row that leaves it blank. CheXpert's own Age 0 is kept as it stands."""

_SEXES = {"Male": "Male", "Female": "Female", "Unknown": "Unknown", "": "Unknown"}
_VIEWS = {"Frontal": "Frontal", "Lateral": "Lateral"}
_PROJECTIONS = {name: name for name in ("AP", "PA", "LL", "RL", "")}
_CODES = {"1.0": 1, "1": 1, "0.0": 0, "0": 0, "-1.0": -1, "-1": -1, "": BLANK}

# A name that is neither empty, "." nor "..", without separators of any system and control characters.
_NAME = r"(?!\.{1,2}(?:/|$))[^/\\\x00-\x1f]+"
_PATH = re.compile(rf"(?:{_NAME}/)*?(?P<study>(?P<patient>patient\d+)/study\d+)/{_NAME}")


@dataclass(frozen=True, eq=False)
class ChexpertTable:
    """The rows of one CSV, in its order; n images.

    Attributes:
        csv: the file.
        root: the data set's folder, to which ``paths`` are relative.
        folder: the folder's name as the CSV's paths begin with it, or "" where they do not; a path of the CSV
            is ``folder/path``.
        digest: SHA-256 of the CSV's bytes, in hex.
        lines: int32 (n,), the line of the CSV on which each row ends, for messages.
        paths: str (n,), such as ``train/patient00001/study1/view1_frontal.jpg``.
        patients: str (n,), such as ``patient00001``.
        studies: str (n,), such as ``patient00001/study1``.
        sex: str (n,): Male, Female or Unknown.
        age: int16 (n,), years; :data:`AGE_UNKNOWN` where blank.
        view: str (n,): Frontal or Lateral.
        projection: str (n,): AP, PA, LL, RL or "".
        labels: int8 (n, 14): 1, 0, -1 or :data:`~fedcxr.data.labels.BLANK`.
    """

    csv: Path
    root: Path
    folder: str
    digest: str
    lines: NDArray[np.int32]
    paths: NDArray[np.str_]
    patients: NDArray[np.str_]
    studies: NDArray[np.str_]
    sex: NDArray[np.str_]
    age: NDArray[np.int16]
    view: NDArray[np.str_]
    projection: NDArray[np.str_]
    labels: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: NDArray[np.int64]) -> ChexpertTable:
        """Some of its rows, in this order; the file and its digest are still those of all."""
        return replace(
            self,
            lines=self.lines[rows],
            paths=self.paths[rows],
            patients=self.patients[rows],
            studies=self.studies[rows],
            sex=self.sex[rows],
            age=self.age[rows],
            view=self.view[rows],
            projection=self.projection[rows],
            labels=self.labels[rows],
        )

    @cached_property
    def _patients(self) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
        return np.unique(self.patients, return_inverse=True)

    @property
    def patient_names(self) -> NDArray[np.str_]:
        """The distinct patients, sorted; what :attr:`patient_codes` point into."""
        return self._patients[0]

    @property
    def patient_codes(self) -> NDArray[np.int64]:
        """int64 (n,): equal for rows of one patient."""
        return self._patients[1]

    @cached_property
    def study_codes(self) -> NDArray[np.int64]:
        """int64 (n,): equal for rows of one study; in the order of the sorted studies."""
        return np.unique(self.studies, return_inverse=True)[1]


def read_table(csv: Path, root: Path) -> ChexpertTable:
    """Read and check a CSV. Images are not opened; see :mod:`fedcxr.data.cache`.

    Args:
        csv: the file.
        root: the data set's folder, or the folder that holds it.

    Raises:
        TableError: the file is missing, empty or no UTF-8 CSV; a column is missing; a value is not allowed; a
            path leaves the root, names no patient and study, or stands twice. The message names file, row
            (the line in the file) and column.
    """
    columns = read_columns(csv, COLUMNS)
    return replace(
        _of_paths(csv, columns, root),
        sex=np.array(columns.choices("Sex", _SEXES)),
        age=columns.integers("Age", _age, "an age in whole years (0 to 150, or blank)"),
        view=np.array(columns.choices("Frontal/Lateral", _VIEWS)),
        projection=np.array(columns.choices("AP/PA", _PROJECTIONS)),
        labels=np.stack(
            [columns.integers(label, _label, "a label (1, 0, -1 or blank)") for label in LABELS],
            axis=1,
            dtype=np.int8,
            casting="unsafe",  # every value is one of four
        ),
    )


def read_paths(csv: Path, root: Path) -> ChexpertTable:
    """Read a CSV for its images alone: ``Path`` is all that it must have, as the competition's input does.

    The view comes from the file's name; sex, age, projection and labels are unknown, whatever stands there.

    Args:
        csv: the file.
        root: the data set's folder, or the folder that holds it.

    Raises:
        TableError: as :func:`read_table`, of the column ``Path``.
    """
    return _of_paths(csv, read_columns(csv, ("Path",)), root)


def _of_paths(csv: Path, columns: Columns, root: Path) -> ChexpertTable:
    """The table as far as column ``Path`` tells it; all else is unknown."""
    matches = _matches(columns)
    columns.distinct("Path")
    folder, dataset = _dataset(columns["Path"][0], root)
    paths = _strip(columns, folder)
    studies = [match["study"] for match in matches]
    _check_studies(columns, studies)
    count = len(columns)
    return ChexpertTable(
        csv=csv,
        root=dataset,
        folder=folder,
        digest=columns.digest,
        lines=np.array(columns.lines, dtype=np.int32),
        paths=np.array(paths),
        patients=np.array([match["patient"] for match in matches]),
        studies=np.array(studies),
        sex=np.full(count, "Unknown"),
        age=np.full(count, AGE_UNKNOWN, dtype=np.int16),
        view=np.array(["Lateral" if "lateral" in Path(path).name else "Frontal" for path in paths]),
        projection=np.full(count, ""),
        labels=np.full((count, len(LABELS)), BLANK, dtype=np.int8),
    )


def _matches(columns: Columns) -> list[re.Match[str]]:
    """Each path's match, with its patient and study."""
    found = list(map(_PATH.fullmatch, columns["Path"]))
    if None in found:
        row = found.index(None)
        columns.fail(row, "Path", _path_complaint(columns["Path"][row]))
    return [match for match in found if match]


def _path_complaint(path: str) -> str:
    if "\\" in path:
        return f"{path!r} has backslashes; write it with /"
    if path.startswith("/"):
        return f"{path!r} is absolute; write it relative to the data set's folder"
    if ".." in path.split("/"):
        return f"{path!r} leaves the root"
    return f"{path!r} is not FOLDER/SPLIT/patientNUMBER/studyNUMBER/FILE"


def _dataset(first: str, root: Path) -> tuple[str, Path]:
    """The folder name that paths begin with, and the data set's folder; worked out once, from one path.

    CheXpert's paths begin with the release's folder, which users pass, rename, or pass the parent of; some
    CSVs in its layout begin at the split.
    """
    folder, _, rest = first.partition("/")
    second = rest.partition("/")[0]
    if (root / folder).is_dir():
        is_release = (root / folder / second).is_dir() and not second.startswith("patient")
        return (folder, root / folder) if is_release else ("", root)
    starts_at_split = re.match(r"(?:[^/]+/)?patient\d+/", first) is not None
    return ("", root) if starts_at_split and root.name != folder else (folder, root)


def _strip(columns: Columns, folder: str) -> Sequence[str]:
    """The paths without the folder that all of them begin with."""
    paths = columns["Path"]
    if not folder:
        return paths
    prefix = f"{folder}/"
    for row, path in enumerate(paths):
        if not path.startswith(prefix):
            columns.fail(row, "Path", f"{path!r} does not begin with {prefix!r} as the first row's path does")
    return [path[len(prefix) :] for path in paths]


def _check_studies(columns: Columns, studies: Sequence[str]) -> None:
    """A study is one folder: in two splits at once it would be scored as one and trained on as the other."""
    first: dict[str, str] = {}
    for row, (path, study) in enumerate(zip(columns["Path"], studies, strict=True)):
        place = path.rpartition("/")[0]
        if first.setdefault(study, place) != place:
            columns.fail(row, "Path", f"{study} stands in {first[study]!r} and in {place!r}")


def _age(text: str) -> int | None:
    if not text:
        return AGE_UNKNOWN
    try:
        years = float(text)
    except ValueError:
        return None
    return int(years) if 0 <= years <= 150 and years.is_integer() else None


def _label(text: str) -> int | None:
    """Also of a label that is not written as usual, such as ``1.00``."""
    if text in _CODES:
        return _CODES[text]
    try:
        return _CODES.get(f"{float(text):g}")
    except ValueError:
        return None if text.strip() else BLANK
