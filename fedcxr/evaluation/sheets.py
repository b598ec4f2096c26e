"""Predictions and truth as CSV files in the format of CheXpert's competition, read strictly.

::

    Study,Atelectasis,Cardiomegaly,Consolidation,Edema,Pleural Effusion
    CheXpert-v1.0/valid/patient64541/study1,0.164103,0.341190,0.101030,0.122174,0.458980

A row is a study (column ``Study``) or an image (column ``Path``, which goes before ``Study`` where both are
there); CheXpert's own ``valid.csv`` is the latter. Rows stand in any order, label columns too; spaces, case,
hyphens and underscores in a column's name do not matter. https://stanfordmlgroup.github.io/competitions/chexpert/
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.columns import Columns, read_columns
from fedcxr.data.labels import BLANK, LABELS
from fedcxr.errors import TableError
from fedcxr.evaluation.study_names import StudyName, clean, parse

_CODES = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": -1, "-1.0": -1, "": BLANK}
_TOLD = frozenset(
    ("sex", "age", "frontallateral", "appa", "patient", "split")
)  # columns of CheXpert's own tables
_LIKE = 0.8  # difflib's ratio from which a column is a label misspelt: "Atelectasys", not "Fold"


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


_BY_PLAIN = {_plain(label): label for label in LABELS}


@dataclass(frozen=True, eq=False)
class Sheet:
    """The rows of one CSV, reduced to its m studies in the order of their names.

    Attributes:
        csv: the file.
        views: images of each study, int64 (m,), where a row is an image; else None.
        studies: m names, sorted.
        patients: m names; a study's own name where nothing says whose it is.
        splits: m of train, valid, test or "".
        lines: of the file, int64 (m,): where each study is first named.
        labels: those that the file has, in CheXpert's order.
        values: (m, 14), float64 scores or int8 raw codes; a label that the file lacks is NaN or blank.
        ignored: columns that are neither a name nor a label.
    """

    csv: Path
    views: NDArray[np.int64] | None
    studies: tuple[str, ...]
    patients: tuple[str, ...]
    splits: tuple[str, ...]
    lines: NDArray[np.int64]
    labels: tuple[str, ...]
    values: NDArray[np.float64] | NDArray[np.int8]
    ignored: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.studies)

    def among(self, studies: Collection[str]) -> Sheet:
        """Those of its studies that are among others."""
        rows = np.flatnonzero(np.isin(self.studies, list(studies)))
        chosen = rows.tolist()
        return replace(
            self,
            studies=tuple(self.studies[row] for row in chosen),
            patients=tuple(self.patients[row] for row in chosen),
            splits=tuple(self.splits[row] for row in chosen),
            views=None if self.views is None else self.views[rows],
            lines=self.lines[rows],
            values=self.values[rows],
        )

    @property
    def anonymous(self) -> tuple[str, ...]:
        """The studies of which nothing says whose they are."""
        pairs = zip(self.studies, self.patients, strict=True)
        return tuple(study for study, patient in pairs if study == patient)


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows as they stand, and the study of each."""

    columns: Columns
    key: str  # the column that names them
    names: dict[str, str]  # label: the column's name in the file
    ignored: tuple[str, ...]
    parsed: list[StudyName]
    index: NDArray[np.int64]  # of each row's study among the sorted studies
    first: NDArray[np.int64]  # row that first names each study

    @property
    def images(self) -> bool:
        return self.key.casefold() == "path"

    def sheet(self, values: NDArray[np.float64] | NDArray[np.int8]) -> Sheet:
        chosen = [self.parsed[row] for row in self.first.tolist()]
        return Sheet(
            csv=self.columns.csv,
            views=np.bincount(self.index, minlength=len(chosen)) if self.images else None,
            studies=tuple(name.study for name in chosen),
            patients=tuple(name.patient for name in chosen),
            splits=tuple(name.split for name in chosen),
            lines=np.asarray(self.columns.lines, dtype=np.int64)[self.first],
            labels=tuple(label for label in LABELS if label in self.names),
            values=values,
            ignored=self.ignored,
        )


def read_scores(csv: Path, labels: Sequence[str] = LABELS) -> Sheet:
    """Read predictions: a finite number for every row and label; a study's is the highest of its images.

    Args:
        csv: the file.
        labels: those wanted; other labels' columns are not looked into.

    Raises:
        TableError: no readable CSV, no column that names rows or none of ``labels``, a column twice or
            misspelt, a study twice, a cell that is no finite number. Names file, row and column.
    """
    rows = _read(csv, labels, known=frozenset())
    values = np.full((len(rows.columns), len(LABELS)), np.nan)
    for label, name in rows.names.items():
        values[:, LABELS.index(label)] = _numbers(rows.columns, name)
    highest = np.full((len(rows.first), len(LABELS)), -np.inf)
    np.maximum.at(highest, rows.index, values)
    return rows.sheet(highest)


def read_truth(csv: Path, labels: Sequence[str] = LABELS) -> Sheet:
    """Read labels: 1, 0, -1 (uncertain) or blank; all images of a study say the same.

    Raises:
        TableError: as :func:`read_scores`; a label that is none of the four; images of one study that differ.
    """
    rows = _read(csv, labels, known=_TOLD)
    codes = np.full((len(rows.columns), len(LABELS)), BLANK, dtype=np.int8)
    for label, name in rows.names.items():
        column = rows.columns.integers(name, _code, "a label (1, 0, -1 or blank)")
        codes[:, LABELS.index(label)] = column
    differs = codes != codes[rows.first][rows.index]
    if differs.any():
        row, column = np.argwhere(differs)[0].tolist()
        first = int(rows.first[rows.index[row]])
        rows.columns.fail(
            row,
            rows.names[LABELS[column]],
            f"{_word(codes[row, column])} here, and {_word(codes[first, column])} in row "
            f"{rows.columns.lines[first]} of the same study ({rows.parsed[row].study}); it has one truth",
        )
    return rows.sheet(codes[rows.first])


def _read(csv: Path, labels: Sequence[str], known: frozenset[str]) -> _Rows:
    key = ""
    names: dict[str, str] = {}
    ignored: tuple[str, ...] = ()

    def choose(header: Sequence[str]) -> Sequence[str]:
        nonlocal key, names, ignored
        key, names, ignored = _sort_header(csv, header, labels, known)
        return [key, *names.values()]

    columns = read_columns(csv, choose)
    image = key.casefold() == "path"
    parsed = [parse(text, image=image) for text in columns[key]]
    _check_names(columns, key, parsed)
    studies, first, index = np.unique(
        np.array([name.study for name in parsed]), return_index=True, return_inverse=True
    )
    if not image and len(studies) < len(parsed):
        again = int(np.setdiff1d(np.arange(len(parsed)), first)[0])
        line = columns.lines[int(first[index[again]])]
        columns.fail(again, key, f"study {parsed[again].study!r} stands in row {line} already")
    return _Rows(columns, key, names, ignored, parsed, index, first)


def _sort_header(
    csv: Path, header: Sequence[str], labels: Sequence[str], known: frozenset[str]
) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """The naming column, the columns of the labels wanted, and the columns that are neither."""
    keys = {name.casefold(): name for name in header if name.casefold() in ("study", "path")}
    if not keys:
        raise TableError(
            f"{csv}, row 1: neither a column 'Study' nor 'Path' says which study a row is "
            f"(columns: {', '.join(header)})."
        )
    found: dict[str, str] = {}
    ignored = []
    like: dict[str, str] = {}
    for name in header:
        label = _BY_PLAIN.get(_plain(name))
        if label is None:
            if name.casefold() in keys or _plain(name) in known:
                continue
            if close := difflib.get_close_matches(_plain(name), _BY_PLAIN, 1, _LIKE):
                like[name] = _BY_PLAIN[close[0]]
            ignored.append(name)
        elif label in found:
            raise TableError(f"{csv}, row 1, column {name!r}: {label} stands twice.")
        else:
            found[label] = name
    for name, label in like.items():
        if label not in found:  # with a column of its own, the other is something else: "Edema_std"
            raise TableError(f"{csv}, row 1, column {name!r}: no label of CheXpert; is it {label!r}?")
    wanted = {label: found[label] for label in labels if label in found}
    if not wanted:
        raise TableError(f"{csv}, row 1: no column of a label; wanted: any of {', '.join(labels)}.")
    return keys.get("path", keys.get("study", "")), wanted, tuple(ignored)


def _check_names(columns: Columns, key: str, parsed: Sequence[StudyName]) -> None:
    """No empty name, no image twice, and no study in two folders."""
    places: dict[str, tuple[str, int]] = {}
    for row, name in enumerate(parsed):
        if not name.study:
            columns.fail(row, key, "the cell is empty; every row names a study")
        place, first = places.setdefault(name.study, (name.place, row))
        if place != name.place:
            columns.fail(
                row, key, f"{name.study} stands in {place!r} in row {columns.lines[first]} and here elsewhere"
            )
    if key.casefold() != "path":
        return
    images: dict[str, int] = {}
    for row, text in enumerate(columns[key]):
        first = images.setdefault(clean(text), row)
        if first != row:
            columns.fail(row, key, f"image {text!r} stands in row {columns.lines[first]} already")


def _numbers(columns: Columns, name: str) -> NDArray[np.float64]:
    """A column as float64 (n,); raises TableError at the first cell that is no finite number."""
    try:
        values = np.array(list(map(_number, columns[name])))
    except ValueError:
        values = np.array([])
    if len(values) and np.isfinite(values).all():
        return values
    for row, text in enumerate(columns[name]):
        try:
            number = _number(text)
        except ValueError:
            what = f"{text!r} is no number" if text.strip() else "the cell is blank"
            columns.fail(row, name, f"{what}; every study needs a probability")
        if not math.isfinite(number):
            columns.fail(row, name, f"{text!r} is not finite")
    raise AssertionError("some cell is at fault")


def _number(text: str) -> float:
    """Python's own float() takes 1_0 for 10."""
    if "_" in text:
        raise ValueError(text)
    return float(text)


def _code(text: str) -> int | None:
    text = text.strip()
    if text in _CODES:
        return _CODES[text]
    try:
        return _CODES.get(f"{_number(text):g}")
    except ValueError:
        return None


def _word(code: np.int8) -> str:
    return {1: "1", 0: "0", -1: "-1", BLANK: "blank"}[int(code)]
