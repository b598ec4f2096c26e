"""The picture of deletion and insertion: a label's probability as more of the image is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedcxr.evaluation.explanation.scores import Explanation
from fedcxr.report.pictures import write_picture

_COLOURS = ("#2b6ca3", "#d68c45")


def draw_deletion(found: Explanation, path: Path, *, title: str) -> None:
    """Draw each method's mean curves by the image's own map, and by another patient's map.

    Args:
        found: of a model.
        path: to write; its suffix says the format.
        title: one line; says what the images are.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.6, 4.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for colour, (method, score) in zip(_COLOURS, found.methods.items(), strict=False):
        curves, cases = score.faithfulness.curves, f"{score.faithfulness.cases:,} findings"
        drawn = (
            (curves.deletion, curves.deletion_elsewhere),
            (curves.insertion, curves.insertion_elsewhere),
        )
        for axes, (own, elsewhere) in zip(panels, drawn, strict=True):
            for curve, style, whose in ((own, "-", cases), (elsewhere, "--", "another patient's map")):
                shares = np.linspace(0, 1, len(curve))
                axes.plot(shares, curve, color=colour, linestyle=style, label=f"{method}, {whose}")
    for axes, name in zip(panels, ("deletion: low is good", "insertion: high is good"), strict=True):
        axes.set_title(name, fontsize=11, loc="left")
        axes.set_xlabel("share of the image, the map's highest places first")
        axes.set_xlim(0, 1)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("probability of the label, mean")
    panels[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=13, x=0.01, ha="left")
    write_picture(figure, path)
