"""The picture of a run: AUROC after every round, of the whole and of each hospital."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedcxr.errors import DataError
from fedcxr.evaluation.scores import Estimate, Evaluation
from fedcxr.report.pictures import drawn_name, hospital_colours, write_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ALL, _FIVE, _GREY = "#2b6ca3", "#d68c45", "#777777"
_TICKS = 20  # rounds that each get a tick
_MANY = 10  # hospitals drawn by name; of more, thin lines and their median


def draw_curves(
    history: Mapping[int, Evaluation],
    path: Path,
    *,
    title: str,
    references: Mapping[str, float] | None = None,
) -> None:
    """Draw mean AUROC by round: on the left over all studies with its 95 % band, on the right by hospital.

    Args:
        history: evaluations by round; a round without one leaves a gap.
        path: to write; its suffix says the format, ``.png`` or ``.svg``.
        title: one line; says what the images are.
        references: mean AUROCs to draw as level lines, such as the pooled model's.

    Raises:
        DataError: no evaluation.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if not history:
        raise DataError("no round has an evaluation: there is nothing to draw.")
    rounds = np.arange(min(history), max(history) + 1)
    figure = Figure(figsize=(12, 5), layout="constrained")
    whole, parts = figure.subplots(1, 2, sharey=True)
    _draw_whole(whole, rounds, history, references or {})
    _draw_hospitals(parts, rounds, history)
    for axes in (whole, parts):
        axes.axhline(0.5, color=_GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        if len(rounds) > _TICKS:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        else:
            axes.set_xticks(rounds)
        axes.set_xlim(rounds[0] - 0.3, rounds[-1] + 0.3)
        axes.set_xlabel("round")
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    parts.tick_params(labelleft=True)
    whole.set_ylabel("mean AUROC over labels (0.5: chance)")
    figure.suptitle(title, fontsize=13, x=0.01, ha="left")
    write_picture(figure, path)


def _draw_whole(
    axes: Axes,
    rounds: NDArray[np.int64],
    history: Mapping[int, Evaluation],
    references: Mapping[str, float],
) -> None:
    last = history[max(history)]
    for name, colour, estimates in (
        (f"{len(last.macro.labels)} labels", _ALL, {r: e.macro for r, e in history.items()}),
        (
            f"{len(last.competition.labels)} competition tasks",
            _FIVE,
            {r: e.competition for r, e in history.items()},
        ),
    ):
        values, low, high = _series(rounds, estimates)
        if np.isnan(values).all():
            continue
        axes.plot(rounds, values, color=colour, marker="o", markersize=4, label=f"mean of {name}")
        axes.fill_between(rounds, low, high, color=colour, alpha=0.15, linewidth=0)
        if len(rounds) == 1 and not np.isnan(low).all():  # a band of one round has no width
            axes.vlines(rounds, low, high, color=colour, alpha=0.5)
    for name, value in references.items():
        axes.axhline(value, color=_ALL, linewidth=1.2, linestyle="--", alpha=0.7)  # of the same mean
        axes.annotate(
            f"{name} {value:.3f}",
            (0.01, value),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=8,
            color=_ALL,
        )
    axes.set_title(f"All {last.studies:,} studies, with 95 % intervals", fontsize=11, loc="left")
    _legend(axes)


def _draw_hospitals(axes: Axes, rounds: NDArray[np.int64], history: Mapping[int, Evaluation]) -> None:
    names = sorted({name for evaluation in history.values() for name in evaluation.hospitals})
    lines = {}
    for name in names:
        estimates = {r: e.hospitals[name].macro for r, e in history.items() if name in e.hospitals}
        values, _, _ = _series(rounds, estimates)
        if not np.isnan(values).all():
            lines[name] = values
    last = history[max(history)]
    if len(lines) > _MANY:
        for values in lines.values():
            axes.plot(rounds, values, color=_GREY, linewidth=0.6, alpha=0.5, marker=".", markersize=3)
        stacked = np.stack(list(lines.values()))
        seen = ~np.isnan(stacked).all(axis=0)
        median = np.full(len(rounds), np.nan)
        median[seen] = np.nanmedian(stacked[:, seen], axis=0)
        axes.plot(
            rounds, median, color=_ALL, marker="o", markersize=4, label=f"median of {len(lines)} hospitals"
        )
    else:
        colours = hospital_colours(names)
        for name, values in lines.items():
            studies = last.hospitals[name].studies if name in last.hospitals else 0
            axes.plot(
                rounds,
                values,
                color=colours[name],
                marker="o",
                markersize=3.5,
                linewidth=1.4,
                label=f"{drawn_name(name)} ({studies:,} studies)",
            )
    undefined = [name for name in names if name not in lines]
    if undefined:
        shown = ", ".join(map(drawn_name, undefined[:_MANY])) + (", …" if len(undefined) > _MANY else "")
        axes.text(
            0.01,
            0.01,
            f"never defined: {shown}",
            transform=axes.transAxes,
            fontsize=8,
            color=_GREY,
        )
    axes.set_title("Each hospital's own studies, over its own defined labels", fontsize=11, loc="left")
    if lines:
        _legend(axes)


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.12), ncols=2)


def _series(
    rounds: NDArray[np.int64], estimates: Mapping[int, Estimate]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The value, low and high of each round, float64 (rounds,) each; NaN leaves a gap in the plot."""
    found = [estimates.get(int(round_number), Estimate()) for round_number in rounds]
    columns = ([e.value for e in found], [e.low for e in found], [e.high for e in found])
    value, low, high = (np.array([np.nan if v is None else v for v in column]) for column in columns)
    return value, low, high
