"""The learning curves of a run, hospital by hospital: training loss, and AUROC on its own studies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedcxr.report.pictures import drawn_name, hospital_colours, write_picture
from fedcxr.round_lines import RoundLine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MANY = 10  # hospitals with a colour and a name of their own
_GREY = "#777777"


def draw_learning(records: Sequence[RoundLine], path: Path, *, title: str) -> None:
    """Draw what each hospital reported after each round.

    Args:
        records: at least one round.
        path: to write; its suffix says the format.
        title: one line; says what the images are.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = sorted({name for record in records for name in record.hospitals})
    rounds = [record.round for record in records]
    losses = {name: [_loss(record, name) for record in records] for name in names}
    areas = {name: [_area(record, name) for record in records] for name in names}
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _lines(left, rounds, losses)
    _lines(right, rounds, areas)
    left.set_title("Training loss, as each hospital signed it", fontsize=11, loc="left")
    left.set_ylabel("joint loss, mean of the round")
    right.set_title("Mean AUROC on its own validation studies", fontsize=11, loc="left")
    right.axhline(0.5, color=_GREY, linewidth=0.8, linestyle=(0, (2, 3)))
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("round")
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    if not np.isfinite([*losses.values()]).any():
        left.set_axis_off()
        left.text(
            0.5, 0.5, "the hospitals tell no losses", ha="center", transform=left.transAxes, color=_GREY
        )
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=5, frameon=False, fontsize=8)
    figure.suptitle(f"{title}; learning, hospital by hospital", fontsize=13, x=0.01, ha="left")
    write_picture(figure, path)


def _loss(record: RoundLine, name: str) -> float:
    loss = record.hospitals[name].loss if name in record.hospitals else None
    return float("nan") if loss is None else loss


def _area(record: RoundLine, name: str) -> float:
    """A hospital's mean AUROC in a round; NaN where its studies were not scored or have one class only."""
    if record.evaluation is None or name not in record.evaluation.hospitals:
        return float("nan")
    value = record.evaluation.hospitals[name].macro.value
    return float("nan") if value is None else value


def _lines(axes: Axes, rounds: Sequence[int], lines: dict[str, list[float]]) -> None:
    many, colours = len(lines) > _MANY, hospital_colours(lines)
    for name, values in lines.items():
        axes.plot(
            rounds,
            values,
            color=_GREY if many else colours[name],
            alpha=0.5 if many else 1.0,
            linewidth=0.7 if many else 1.5,
            marker="o",
            markersize=2 if many else 4,
            label=None if many else drawn_name(name),
        )
    if many:
        stacked = np.array(list(lines.values()))
        seen = ~np.isnan(stacked).all(axis=0)
        median = np.full(len(rounds), np.nan)
        median[seen] = np.nanmedian(stacked[:, seen], axis=0)
        axes.plot(rounds, median, color="#2b6ca3", marker="o", label=f"median of {len(lines)} hospitals")
