"""The picture of a partition: how many images each hospital holds, of which findings, in which views.

One row a hospital, read across three panels, so that quantity, label and device skew are seen side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.chexpert import ChexpertTable
from fedcxr.data.labels import BLANK, LABELS
from fedcxr.data.partition import Partition
from fedcxr.report.pictures import drawn_name, write_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VIEWS = ("Frontal PA", "Frontal AP", "Frontal, other", "Lateral")

_ROWS = 40  # hospitals drawn; of more, the largest
_FOLDS = 2.0  # the colours end at a quarter and four times the overall prevalence
_BLUE, _PALE, _GREY = "#2b6ca3", "#a9c9e4", "#d9d9d9"
_VIEW_COLOURS = ("#4c956c", "#d68c45", "#b8b8b8", "#7d70ba")


@dataclass(frozen=True, eq=False)
class ShardFigures:
    """The counts that the picture shows, of k hospitals in the partition's order.

    Attributes:
        prevalence: float64 (k, 14), the share of a hospital's train images on which a label is positive,
            among those on which it is known; NaN where it is known on none. Uncertain is not known; blank is
            a negative, or not known, as the label policy has it.
        overall: float64 (14,), the same over all hospitals.
        views: float64 (k, 4), the share of each of :data:`VIEWS` among a hospital's train images.
    """

    prevalence: NDArray[np.float64]
    overall: NDArray[np.float64]
    views: NDArray[np.float64]

    @classmethod
    def of(
        cls, partition: Partition, train: ChexpertTable, blank: Literal["negative", "ignore"]
    ) -> ShardFigures:
        """Count the training images of a partition."""
        held, hospitals = partition.held(train), [partition.rows(train, name) for name in partition.names]
        positive = train.labels == 1
        known = positive | (train.labels == 0)
        if blank == "negative":
            known |= train.labels == BLANK
        frontal = train.view == "Frontal"
        pa, ap = frontal & (train.projection == "PA"), frontal & (train.projection == "AP")
        views = np.stack([pa, ap, frontal & ~pa & ~ap, ~frontal], axis=1)
        return cls(
            np.stack([_share(positive[rows], known[rows]) for rows in hospitals]),
            _share(positive[held], known[held]),
            np.stack([views[rows].mean(axis=0) for rows in hospitals]),
        )


def draw(
    partition: Partition,
    train: ChexpertTable,
    valid: ChexpertTable,
    path: Path,
    *,
    blank: Literal["negative", "ignore"],
    synthetic: bool = False,
) -> None:
    """Draw what each hospital holds of a partition.

    Args:
        partition: the shards.
        train: the table whose labels and views are shown.
        valid: the table whose images are counted beside it.
        path: of the picture; its suffix says the format, ``.png`` or ``.svg``.
        blank: whether a blank label is a negative or not known, ``data.blank`` of the configuration.
        synthetic: whether the images are phantoms; the title says so.

    Raises:
        PartitionError: the tables are not the partition's.
    """
    from matplotlib.figure import Figure

    partition.check(train, valid)
    figures = ShardFigures.of(partition, train, blank)
    images = np.array([(shard.train.images, shard.valid.images) for shard in partition.shards])
    order = np.sort(np.argsort(-images[:, 0], kind="stable")[:_ROWS])
    names = [
        f"{drawn_name(partition.shards[k].name)}\n{len(partition.shards[k].patients):,} patients"
        for k in order
    ]

    figure = Figure(figsize=(15, 2.6 + 0.52 * len(order)), layout="constrained")
    amounts, heat, mix = figure.subplots(1, 3, sharey=True, width_ratios=(1.1, 3.2, 1.1))
    _draw_amounts(amounts, images[order])
    _draw_prevalence(heat, figures.prevalence[order], figures.overall)
    known = "blank read as negative" if blank == "negative" else "of those known"
    heat.set_title(f"Positive images in train, %, {known}", fontsize=11, loc="left", pad=18)
    _draw_views(mix, figures.views[order])
    amounts.set_yticks(range(len(order)), names)
    amounts.set_ylim(len(order) - 0.5, -0.5)
    for axes in (amounts, heat, mix):
        axes.tick_params(which="both", length=0, labelsize=9)
        axes.spines[:].set_visible(False)
    title = ("SYNTHETIC chest X-rays: " if synthetic else "") + _title(partition, len(order))
    figure.suptitle(title, fontsize=13, x=0.01, ha="left")
    write_picture(figure, path)


def _title(partition: Partition, drawn: int) -> str:
    alpha = f", α = {partition.alpha:g}" if partition.alpha is not None else ""
    count = len(partition.shards)
    which = f"the {drawn} largest of {count} hospitals" if drawn < count else f"{count} hospitals"
    digest = partition.digest.hex()[:12]
    scheme = f"scheme {partition.scheme}{alpha}, seed {partition.seed}"
    unseen = "".join(f", {drawn_name(shard.name)} left out" for shard in partition.unseen)
    return f"Who holds what: {which}{unseen}, {scheme}, manifest {digest}…"


def _draw_amounts(axes: Axes, images: NDArray[np.int64]) -> None:
    rows = np.arange(len(images))
    axes.barh(rows, images[:, 0], 0.62, color=_BLUE, label="train")
    axes.barh(rows, images[:, 1], 0.62, left=images[:, 0], color=_PALE, label="valid")
    widest = images.sum(axis=1).max()
    for row, (train, valid) in enumerate(images.tolist()):
        axes.text(train + valid + 0.02 * widest, row, f"{train:,} + {valid:,}", va="center", fontsize=8)
    axes.set_xlim(0, 1.45 * widest)
    axes.set_xticks([])
    axes.set_title("Images", fontsize=11, loc="left", pad=18)
    _legend(axes)


def _draw_prevalence(axes: Axes, prevalence: NDArray[np.float64], overall: NDArray[np.float64]) -> None:
    from matplotlib import colormaps

    with np.errstate(divide="ignore", invalid="ignore"):
        folds = np.log2(prevalence / overall)  # -inf where none is positive: the end of the scale
    colours = colormaps["RdBu_r"].with_extremes(bad=_GREY)
    shades = np.ma.masked_invalid(np.clip(folds, -_FOLDS, _FOLDS))
    image = axes.imshow(shades, cmap=colours, vmin=-_FOLDS, vmax=_FOLDS, aspect="auto", alpha=0.85)
    for (row, column), share in np.ndenumerate(prevalence):
        strong = abs(np.clip(folds[row, column], -_FOLDS, _FOLDS)) > 0.7 * _FOLDS
        axes.text(
            column,
            row,
            _percent(share),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if strong else "#333333",
        )
    for column, share in enumerate(overall):
        axes.text(column, -0.6, _percent(share), ha="center", va="bottom", fontsize=8, color="#777777")
    axes.text(-0.6, -0.6, "all", ha="right", va="bottom", fontsize=8, color="#777777")
    axes.set_xticks(range(len(LABELS)), LABELS, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_xticks(np.arange(len(LABELS) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(prevalence) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(image, ax=axes, ticks=[-2, -1, 0, 1, 2], pad=0.01, fraction=0.025)
    bar.ax.set_yticklabels(["≤ ¼ ×", "½ ×", "as all", "2 ×", "≥ 4 ×"], fontsize=8)
    bar.outline.set_visible(False)


def _draw_views(axes: Axes, views: NDArray[np.float64]) -> None:
    rows, left = np.arange(len(views)), np.zeros(len(views))
    for column, (name, colour) in enumerate(zip(VIEWS, _VIEW_COLOURS, strict=True)):
        share = views[:, column]
        if share.any():
            axes.barh(rows, share, 0.62, left=left, color=colour, label=name)
        for row in np.flatnonzero(share >= 0.12).tolist():
            centre = left[row] + share[row] / 2
            axes.text(centre, row, _percent(share[row]), ha="center", va="center", fontsize=8, color="white")
        left += share
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    axes.set_title("Views in train, %", fontsize=11, loc="left", pad=18)
    _legend(axes)


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="upper left", bbox_to_anchor=(0, 0), ncols=2, frameon=False, fontsize=8, borderaxespad=0.6
    )


def _percent(share: float) -> str:
    if np.isnan(share):
        return "–"
    return f"{100 * share:.0f}" if share == 0 or share >= 0.0995 else f"{100 * share:.1f}"


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The columns' counts of ``part`` over those of ``whole``; NaN where the whole is empty."""
    with np.errstate(invalid="ignore"):
        share: NDArray[np.float64] = (part & whole).sum(axis=0) / whole.sum(axis=0)
    return share
