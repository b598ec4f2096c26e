"""Images that no CSV lists: files given one by one, as a notebook has them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedcxr.data.chexpert import AGE_UNKNOWN, ChexpertTable
from fedcxr.data.labels import BLANK, LABELS
from fedcxr.errors import DataError

NO_LINE = 0
"""The line of a row that stands in no CSV."""

_SUFFIXES = (".jpg", ".jpeg", ".png")


def is_image(path: Path) -> bool:
    """Whether a file's name is that of an image, not of a CSV."""
    return path.suffix.lower() in _SUFFIXES


def table_of_images(paths: Sequence[Path], root: Path | None) -> ChexpertTable:
    """The table of n image files, each of a patient and a study of its own, with no label known.

    Args:
        paths: as they stand, or relative to ``root``.
        root: the data set's folder; None where every path stands by itself.

    Raises:
        DataError: there is none, one is given twice, or one is not there.
    """
    found = [_find(path, root) for path in paths]
    if not found:
        raise DataError("there is no image to predict: give the path of one, a list of them, or a CSV.")
    if twice := next((path for path, file in zip(paths, found, strict=True) if found.count(file) > 1), None):
        raise DataError(f"{twice}: the image is given twice.")
    names = [str(file.relative_to("/")) for file in found]
    count = len(names)
    return ChexpertTable(
        csv=Path("images"),
        root=Path("/"),
        folder="",
        digest=hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest(),
        lines=np.full(count, NO_LINE, dtype=np.int32),
        paths=np.array(names),
        patients=np.array(names),
        studies=np.array(names),
        sex=np.full(count, "Unknown"),
        age=np.full(count, AGE_UNKNOWN, dtype=np.int16),
        view=np.array(["Lateral" if "lateral" in file.name else "Frontal" for file in found]),
        projection=np.full(count, ""),
        labels=np.full((count, len(LABELS)), BLANK, dtype=np.int8),
    )


def _find(path: Path, root: Path | None) -> Path:
    """The absolute path of an image; raises DataError where it is in neither place."""
    places = [path] if root is None else [path, root / path]
    for place in places:
        if place.is_file():
            return place.absolute()
    below = "" if root is None else f", nor in {root}"
    raise DataError(f"{path}: there is no such image here{below}.")
