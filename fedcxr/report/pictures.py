"""What all pictures of a run have in common: their titles, and one colour for each label and hospital."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedcxr import files
from fedcxr.config import Config
from fedcxr.data.labels import COMPETITION_LABELS, LABELS
from fedcxr.terminal import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST = 48  # characters of a name; a longer one would leave no place for the picture


def write_picture(figure: Figure, path: Path, *, dpi: int = 150) -> None:
    """Write a figure on white, wholly or not at all; the suffix says the format.

    Raises:
        StoreError: it cannot be written.
    """
    kind = path.suffix.removeprefix(".")
    files.write_with(path, lambda file: figure.savefig(file, format=kind, dpi=dpi, facecolor="white"))


def hospital_colours(names: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """One colour for each hospital, the same in every picture of a run; the ninth hospital has the first's.

    None of them is that of a competition task, or of a mean.

    Args:
        names: all hospitals of a run, whichever of them a picture shows.

    Returns:
        RGBA by name, each value in [0, 1].
    """
    from matplotlib.colors import to_rgba

    return {name: to_rgba(_HOSPITALS[k % len(_HOSPITALS)]) for k, name in enumerate(sorted(names))}


def picture_title(config: Config, round_number: int | None = None) -> str:
    """What every picture's title begins with: ``NAME, round 3: SYNTHETIC X-rays, MODEL``."""
    when = "" if round_number is None else f", round {round_number}"
    what = "SYNTHETIC X-rays, " if config.data.phantom else ""
    return f"{config.name}{when}: {what}{config.model.name}"


def drawn_name(name: str) -> str:
    """A hospital's name as matplotlib takes it: one line that has a place, and no formula between dollars."""
    shown = one_line(name)
    return (shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…").replace("$", "\\$")


@dataclass(frozen=True)
class LineStyle:
    """How a label's lines are drawn in every picture of every run.

    Attributes:
        colour: hex.
        dash: as matplotlib takes it.
        width: points.
    """

    colour: str
    dash: str | tuple[int, tuple[float, ...]]
    width: float


def label_style(label: str) -> LineStyle:
    """The style of a label of :data:`fedcxr.data.labels.LABELS`: solid and broad for the competition's five.

    A colour that two of the others share has another dash.
    """
    if label in COMPETITION_LABELS:
        return LineStyle(_FIVE[COMPETITION_LABELS.index(label)], "-", 1.9)
    place = [other for other in LABELS if other not in COMPETITION_LABELS].index(label)
    return LineStyle(_OTHERS[place % len(_OTHERS)], (_DASHED, _DOTTED)[place // len(_OTHERS)], 1.2)


_FIVE = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd")
_OTHERS = ("#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
_DASHED: tuple[int, tuple[float, ...]] = (0, (5, 1.5))
_DOTTED: tuple[int, tuple[float, ...]] = (0, (1.2, 1.2))
_HOSPITALS = ("#12a3b8", "#e377c2", "#a6a61a", "#333333", "#23297a", "#8c1c3c", "#0f5e4e", "#f2a58a")
