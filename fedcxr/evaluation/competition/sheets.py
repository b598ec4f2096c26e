"""Predictions and truth as CSV files in the format of CheXpert's competition, read strictly.

::

    Study,Atelectasis,Cardiomegaly,Consolidation,Edema,Pleural Effusion
    CheXpert-v1.0/valid/patient64541/study1,0.164103,0.341190,0.101030,0.122174,0.458980

A row is a study (column ``Study``) or an image (column ``Path``, which goes before ``Study`` where both are
there, and must agree with it); CheXpert's own ``valid.csv`` is the latter. Rows stand in any order.
https://stanfordmlgroup.github.io/competitions/chexpert/
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.columns import Columns, read_columns
from fedcxr.data.labels import BLANK, LABELS
from fedcxr.evaluation.competition.sheet_header import Header, read_header
from fedcxr.evaluation.competition.study_names import StudyName, agree, clean, parse

_CODES = {1.0: 1, 0.0: 0, -1.0: -1}
_LONGEST = 4096  # characters of a name, as many as a path has


@dataclass(frozen=True, eq=False)
class Sheet:
    """The rows of one CSV, reduced to its m studies in the order of their names.

    Attributes:
        csv: the file.
        views: images of each study, int64 (m,); 0 where a row names the study as a whole.
        studies: m names, sorted.
        patients: m names; a study's own name where nothing says whose it is.
        splits: m of train, valid, test or "".
        lines: of the file, int64 (m,): where each study is first named.
        labels: those that the file has, in CheXpert's order.
        values: (m, 14), float64 scores or int8 raw codes; a label that the file lacks is NaN or blank.
        ignored: columns that are neither a name nor a label, told in words.
    """

    csv: Path
    views: NDArray[np.int64]
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
        """The sheet with only those of its studies that are among others."""
        rows = np.flatnonzero(np.isin(self.studies, list(studies)))
        chosen = rows.tolist()
        return replace(
            self,
            studies=tuple(self.studies[row] for row in chosen),
            patients=tuple(self.patients[row] for row in chosen),
            splits=tuple(self.splits[row] for row in chosen),
            views=self.views[rows],
            lines=self.lines[rows],
            values=self.values[rows],
        )

    @property
    def anonymous(self) -> tuple[str, ...]:
        """The studies whose patient the file does not say."""
        pairs = zip(self.studies, self.patients, strict=True)
        return tuple(study for study, patient in pairs if study == patient)


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows in the order of the file, and the study of each."""

    columns: Columns
    header: Header
    parsed: list[StudyName]
    index: NDArray[np.int64]  # of each row's study among the sorted studies
    first: NDArray[np.int64]  # row that first names each study

    def sheet(self, values: NDArray[np.float64] | NDArray[np.int8]) -> Sheet:
        chosen = [self.parsed[row] for row in self.first.tolist()]
        views = np.bincount(self.index, minlength=len(chosen))
        views[self.index[[not name.image for name in self.parsed]]] = 0
        return Sheet(
            csv=self.columns.csv,
            views=views,
            studies=tuple(name.study for name in chosen),
            patients=tuple(name.patient for name in chosen),
            splits=tuple(name.split for name in chosen),
            lines=np.asarray(self.columns.lines, dtype=np.int64)[self.first],
            labels=tuple(label for label in LABELS if label in self.header.labels),
            values=values,
            ignored=self.header.ignored,
        )


def read_scores(csv: Path, labels: Sequence[str] = LABELS) -> Sheet:
    """Read predictions: a finite number for every row and label; a study's is the highest of its images.

    Args:
        csv: the file.
        labels: those wanted; other labels' columns are not looked into.

    Raises:
        TableError: no readable CSV, no column that names rows or none of ``labels``, a column twice or
            misspelt, a study twice or named in two ways, a cell that is no finite number. Names file, row and
            column.
    """
    rows = _read(csv, labels, truth=False)
    values = np.full((len(rows.columns), len(LABELS)), np.nan)
    for label, name in rows.header.labels.items():
        values[:, LABELS.index(label)] = _numbers(rows.columns, name)
    highest = np.full((len(rows.first), len(LABELS)), -np.inf)
    np.maximum.at(highest, rows.index, values)
    return rows.sheet(highest)


def read_truth(csv: Path, labels: Sequence[str] = LABELS) -> Sheet:
    """Read labels: 1, 0, -1 (uncertain) or blank; all images of a study say the same.

    Raises:
        TableError: as :func:`read_scores`; a label that is none of the four; images of one study that differ.
    """
    rows = _read(csv, labels, truth=True)
    codes = np.full((len(rows.columns), len(LABELS)), BLANK, dtype=np.int8)
    for label, name in rows.header.labels.items():
        column = rows.columns.integers(name, _code, "a label (1, 0, -1 or blank)")
        codes[:, LABELS.index(label)] = column
    differs = codes != codes[rows.first][rows.index]
    if differs.any():
        row, column = np.argwhere(differs)[0].tolist()
        first = int(rows.first[rows.index[row]])
        rows.columns.fail(
            row,
            rows.header.labels[LABELS[column]],
            f"{_word(codes[row, column])} here, and {_word(codes[first, column])} in row "
            f"{rows.columns.lines[first]} of the same study ({rows.parsed[row].study}); it has one truth",
        )
    return rows.sheet(codes[rows.first])


def _read(csv: Path, labels: Sequence[str], *, truth: bool) -> _Rows:
    header = None

    def choose(names: Sequence[str]) -> Sequence[str]:
        nonlocal header
        header = read_header(csv, names, labels, truth=truth)
        return header.columns

    columns = read_columns(csv, choose)
    assert header is not None
    key = header.key
    parsed = [parse(text, image=bool(header.path)) for text in columns[key]]
    _check_names(columns, header, parsed)
    studies, first, index = np.unique(
        np.array([name.study for name in parsed]), return_index=True, return_inverse=True
    )
    if not header.path and len(studies) < len(parsed):
        again = int(np.setdiff1d(np.arange(len(parsed)), first)[0])
        line = columns.lines[int(first[index[again]])]
        columns.fail(again, key, f"study {parsed[again].study!r} stands in row {line} already")
    return _Rows(columns, header, parsed, index, first)


def _check_names(columns: Columns, header: Header, parsed: Sequence[StudyName]) -> None:
    """Check the names of studies and images.

    No name is empty or endless, no image is there twice, no study is in two folders, and no row names two
    studies.
    """
    key = header.key
    for column in filter(None, (header.path, header.study)):
        for row, text in enumerate(columns[column]):
            if len(text) > _LONGEST:
                columns.fail(row, column, f"{len(text):,} characters; a name has at most {_LONGEST:,}")
    places: dict[str, tuple[str, int]] = {}
    for row, name in enumerate(parsed):
        if not name.study:
            columns.fail(row, key, "the cell is empty; every row names a study")
        place, first = places.setdefault(name.study, (name.place, row))
        if place != name.place:
            columns.fail(
                row, key, f"{name.study} stands in {place!r} in row {columns.lines[first]} and here elsewhere"
            )
    if not header.path:
        return
    if header.study:
        _check_studies(columns, header, parsed)
    images: dict[str, int] = {}
    for row, text in enumerate(columns[key]):
        first = images.setdefault(clean(text), row)
        if first != row:
            columns.fail(row, key, f"image {text!r} stands in row {columns.lines[first]} already")


def _check_studies(columns: Columns, header: Header, parsed: Sequence[StudyName]) -> None:
    for row, (name, text) in enumerate(zip(parsed, columns[header.study], strict=True)):
        if not agree(name, text):
            columns.fail(
                row,
                header.study,
                f"{text!r} is not the study of {columns[header.path][row]!r} in column {header.path!r}; "
                "mend one of the two, or leave it out",
            )


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
    """Parse a number more strictly than Python's float(), which takes 1_0 for 10."""
    if "_" in text:
        raise ValueError(text)
    return float(text)


def _code(text: str) -> int | None:
    if not text.strip():
        return BLANK
    try:
        return _CODES.get(_number(text))
    except ValueError:
        return None


def _word(code: np.int8) -> str:
    return {1: "1", 0: "0", -1: "-1", BLANK: "blank"}[int(code)]
