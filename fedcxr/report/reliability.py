"""The reliability diagram: predicted probabilities against the observed frequency of the finding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import COMPETITION_LABELS, LABELS
from fedcxr.evaluation.calibration import BINS, reliability
from fedcxr.evaluation.studies import StudyScores
from fedcxr.report.pictures import write_picture
from fedcxr.report.tables import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _GREY = "#2b6ca3", "#777777"
_CASES = 10  # of a bin; fewer cases have fewer bins


def draw_reliability(scored: StudyScores, path: Path, *, title: str) -> None:
    """Draw all labels pooled, and each competition task that has known studies.

    Args:
        scored: m studies with probabilities in [0, 1].
        path: to write; its suffix says the format.
        title: one line; says what the images are.
    """
    from matplotlib.figure import Figure

    known = scored.labels >= 0
    panels = {"All labels, pooled": (scored.scores[known], scored.labels[known] == 1)}
    for label in COMPETITION_LABELS:
        column = LABELS.index(label)
        rows, positive = scored.known(column)
        if len(rows):
            panels[label] = (scored.scores[rows, column], positive)
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(4.1 * columns, 4.1 * lines + 0.4), layout="constrained")
    grid = np.ravel(figure.subplots(lines, columns, squeeze=False))
    for axes, (name, (probabilities, positive)) in zip(grid, panels.items(), strict=False):
        _draw(axes, name, probabilities, positive)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    figure.suptitle(
        f"{title}; reliability, bins of equal mass with their 95 % intervals (Wilson)",
        fontsize=13,
        x=0.01,
        ha="left",
    )
    write_picture(figure, path)


def _reach(shares: NDArray[np.float64]) -> float:
    """The upper end of an axis."""
    return min(1.0, max(0.05, 1.1 * float(shares.max(initial=0.0))))


def _draw(axes: Axes, name: str, probabilities: NDArray[np.floating], truth: NDArray[np.bool_]) -> None:
    from scipy.stats import binomtest

    diagram = reliability(probabilities, truth, min(BINS, max(1, len(truth) // _CASES)))
    error = reliability(probabilities, truth).error  # as the report has it, whatever is drawn

    positive = (diagram.observed * diagram.cases).round().astype(int)
    doubts = [
        binomtest(int(k), int(n)).proportion_ci(method="wilson")
        for k, n in zip(positive, diagram.cases, strict=True)
    ]
    low, high = (np.array([getattr(doubt, end) for doubt in doubts]) for end in ("low", "high"))
    across = _reach(diagram.predicted)  # rare findings live in a corner
    axes.plot((0, 1), (0, 1), color=_GREY, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.vlines(diagram.predicted, low, high, color=_BLUE, alpha=0.35, linewidth=2)
    axes.plot(diagram.predicted, diagram.observed, "o", color=_BLUE, markersize=5, clip_on=False, zorder=3)
    axes.set_xlim(0, across)
    axes.set_ylim(0, max(across, _reach(high)))
    axes.set_xlabel("mean probability of the bin", fontsize=9)
    axes.set_ylabel("share that is positive", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.set_title(
        f"{name}: {count(len(truth), 'case')}\nECE {error:.3f} over {BINS} bins, {len(diagram.cases)} drawn",
        fontsize=10,
        loc="left",
        pad=8,
    )
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
