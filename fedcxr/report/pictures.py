"""How every picture is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedcxr import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_picture(figure: Figure, path: Path, *, dpi: int = 150) -> None:
    """Write a figure on white, wholly or not at all; the suffix says the format.

    Raises:
        StoreError: it cannot be written.
    """
    kind = path.suffix.removeprefix(".")
    files.write_with(path, lambda file: figure.savefig(file, format=kind, dpi=dpi, facecolor="white"))
