"""The table and the picture of a model's scores on corrupted images."""

from __future__ import annotations

from pathlib import Path

from fedcxr.evaluation.robustness import Robustness
from fedcxr.report.pictures import write_picture
from fedcxr.report.scores import bootstrap_note
from fedcxr.report.tables import Table, figure


def robustness_table(found: Robustness, name: str) -> Table:
    """The table of scores, a row for each corruption and severity."""
    rows = [("clean", "", figure(found.clean), "", figure(found.clean_competition))]
    rows += [
        (
            row.corruption,
            str(row.severity),
            figure(row.mean_auroc),
            figure(row.drop, signed=True),
            figure(row.competition),
        )
        for row in found.rows
    ]
    rows.append(("mean of all", "", "", figure(found.mean_drop, signed=True), ""))
    labels = "mean AUROC over all defined labels"
    return Table(
        title=f"{name} on {found.studies:,} studies made worse",
        header=("corruption", "severity", "mean AUROC", "drop", "mean of five tasks"),
        rows=tuple(rows),
        notes=(
            f"Drop: clean minus corrupted, {labels}, paired. Severities after ImageNet-C.",
            _interval_note(found),
        ),
    )


def _interval_note(found: Robustness) -> str:
    """The note on intervals; it holds for every row, because corrupting an image changes no label."""
    named = [("a mean", found.clean), ("a mean of five", found.clean_competition)]
    return bootstrap_note(found.bootstrap, named)


def draw_robustness(found: Robustness, path: Path, *, title: str) -> None:
    """Draw mean AUROC over severity, one line for each corruption.

    Args:
        found: at least one row.
        path: to write; its suffix says the format.
        title: one line; says what the images are.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8.2, 5), layout="constrained")
    axes = picture.subplots()
    for index, kind in enumerate(dict.fromkeys(row.corruption for row in found.rows)):
        own = [row for row in found.rows if row.corruption == kind and row.mean_auroc.value is not None]
        colour = colormaps["tab10"](index)
        across = [0, *(row.severity for row in own)]
        values = [found.clean.value or 0.5, *(row.mean_auroc.value or 0.5 for row in own)]
        axes.plot(across, values, color=colour, marker="o", markersize=4.5, label=kind)
    axes.axhline(0.5, color="#777777", linewidth=0.8, linestyle=(0, (2, 3)))
    severities = sorted({row.severity for row in found.rows})
    axes.set_xticks([0, *severities], ["clean", *map(str, severities)])
    axes.set_xlabel("severity")
    axes.set_ylabel("mean AUROC over labels (0.5: chance)")
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    picture.suptitle(title, fontsize=12, x=0.01, ha="left")
    write_picture(picture, path)
