"""What all pictures of a run have in common: how they are written, and one colour for each hospital."""

from __future__ import annotations

from collections.abc import Iterable
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


def hospital_colours(names: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """One colour for each hospital, the same in every picture of a run; the ninth hospital has the first's.

    Args:
        names: all hospitals of a run, whichever of them a picture shows.

    Returns:
        RGBA by name, each value in [0, 1].
    """
    from matplotlib import colormaps

    # The first two are those of means, in the same pictures.
    palette = [colormaps["tab10"](index) for index in range(2, 10)]
    return {name: palette[place % len(palette)] for place, name in enumerate(sorted(names))}
