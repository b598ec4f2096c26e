"""The picture of ROC and precision-recall curves, label by label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import COMPETITION_LABELS, LABELS
from fedcxr.evaluation.auroc import Floats
from fedcxr.evaluation.studies import StudyScores
from fedcxr.report.pictures import label_style, write_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GREY = "#777777"


def curve(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """False and true positives at each threshold, float64 (k,), from none at the highest threshold down."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], [True] * bool(len(ordered))))
    hits = positive[order].cumsum()[ends].astype(np.float64)
    alarms = (ends + 1) - hits
    return np.append(0.0, alarms), np.append(0.0, hits)


def draw_roc(scored: StudyScores, path: Path, *, title: str) -> tuple[str, ...]:
    """Draw both curves of every label that has both classes; the competition's tasks stand out.

    Args:
        scored: m studies.
        path: to write; its suffix says the format.
        title: one line; says what the images are.

    Returns:
        The labels drawn.
    """
    from matplotlib.figure import Figure

    labels = _defined(scored)
    figure = Figure(figsize=(12.4, 7.8), layout="constrained")
    roc, precision = figure.subplots(1, 2)
    for label in labels:
        column = LABELS.index(label)
        rows, positive = scored.known(column)
        alarms, hits = curve(scored.scores[rows, column], positive)
        style = label_style(label)
        sensitivity, said = hits / hits[-1], np.maximum(alarms + hits, 1)
        area = float(np.trapezoid(sensitivity, alarms / alarms[-1]))
        right = hits / said
        right[0] = right[1]
        average = float((np.diff(hits) * right[1:]).sum() / hits[-1])
        roc.plot(
            alarms / alarms[-1],
            sensitivity,
            color=style.colour,
            linewidth=style.width,
            linestyle=style.dash,
            label=f"{label}  {area:.3f}",
        )
        precision.step(
            sensitivity,
            right,
            where="pre",
            color=style.colour,
            linewidth=style.width,
            linestyle=style.dash,
            label=f"{label}  {average:.3f}  ({positive.mean():.3f})",
        )
    roc.plot((0, 1), (0, 1), color=_GREY, linewidth=0.8, linestyle=(0, (2, 3)))
    _dress(roc, "1 − specificity", "sensitivity", "ROC: area under each curve")
    _dress(
        precision,
        "sensitivity (recall)",
        "precision",
        "Precision-recall: average precision (share of positives)",
    )
    figure.suptitle(f"{title}, {len(scored):,} studies", fontsize=13, x=0.01, ha="left")
    write_picture(figure, path)
    return labels


def _defined(scored: StudyScores) -> tuple[str, ...]:
    """The labels with both classes, the competition's first."""
    order: Sequence[str] = (*COMPETITION_LABELS, *(n for n in LABELS if n not in COMPETITION_LABELS))
    found = []
    for label in order:
        _, positive = scored.known(LABELS.index(label))
        if positive.any() and not positive.all():
            found.append(label)
    return tuple(found)


def _dress(axes: Axes, across: str, up: str, title: str) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(-0.02, -0.1), ncols=2)
