"""The header of a CSV: the column that names a row's study, the columns of labels, and all others.

A row is a study (column ``Study``) or an image (column ``Path``, which goes before ``Study`` where both are
there). Columns stand in any order; spaces, case, hyphens and underscores in a label's name do not matter.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcxr.data.labels import LABELS
from fedcxr.errors import TableError

_TOLD = frozenset(
    ("sex", "age", "frontallateral", "appa", "patient", "split")
)  # columns of CheXpert's own tables
_LIKE = 0.8  # difflib's ratio from which a column is a label misspelt: "Atelectasys", not "Fold"


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


_BY_PLAIN = {_plain(label): label for label in LABELS}


@dataclass(frozen=True)
class Header:
    """The roles of one CSV's columns, by their names in the file.

    Attributes:
        path, study: those that name a row's image and its study; "" where there is none.
        labels: label: its column.
        ignored: columns that are neither, told in words.
    """

    path: str
    study: str
    labels: dict[str, str]
    ignored: tuple[str, ...]

    @property
    def key(self) -> str:
        """The column that says which study a row is."""
        return self.path or self.study

    @property
    def columns(self) -> list[str]:
        """The columns to read."""
        return [name for name in (self.path, self.study) if name] + list(self.labels.values())


def read_header(csv: Path, header: Sequence[str], labels: Sequence[str], *, truth: bool) -> Header:
    """Read the header from the names in a CSV's first row.

    Args:
        csv: the file, for complaints.
        header: its names.
        labels: those wanted.
        truth: whether it is one, which may be CheXpert's own table with sex and age.

    Raises:
        TableError: no column names a row, or none is of ``labels``; one stands twice, or is misspelt.
    """
    naming: dict[str, str] = {}
    found: dict[str, str] = {}
    like: dict[str, str] = {}
    ignored = []
    for place, name in enumerate(header, start=1):
        if (kind := name.casefold()) in ("study", "path"):
            if kind in naming:
                raise TableError(f"{csv}, row 1, column {name!r}: the column stands twice.")
            naming[kind] = name
        elif label := _BY_PLAIN.get(_plain(name)):
            if label in found:
                raise TableError(f"{csv}, row 1, column {name!r}: {label} stands twice.")
            found[label] = name
        elif not truth or _plain(name) not in _TOLD:
            if close := difflib.get_close_matches(_plain(name), _BY_PLAIN, 1, _LIKE):
                like[name] = _BY_PLAIN[close[0]]
            ignored.append(name or f"column {place} (without a name)")
    if not naming:
        raise TableError(
            f"{csv}, row 1: neither a column 'Study' nor 'Path' says which study a row is "
            f"(columns: {', '.join(header)})."
        )
    for name, label in like.items():
        if label not in found:  # with a column of its own, the other is something else: "Edema_std"
            raise TableError(f"{csv}, row 1, column {name!r}: no label of CheXpert; is it {label!r}?")
    wanted = {label: found[label] for label in labels if label in found}
    if not wanted:
        raise TableError(f"{csv}, row 1: no column of a label; wanted: any of {', '.join(labels)}.")
    return Header(naming.get("path", ""), naming.get("study", ""), wanted, tuple(ignored))
