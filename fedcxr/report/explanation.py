"""Tables of a model's explanations and their scores."""

from __future__ import annotations

from fedcxr.evaluation.explanation.localisation import FEWEST_PATIENTS, Localisation
from fedcxr.evaluation.explanation.scores import Explanation, Faithfulness
from fedcxr.report.tables import Table, figure

COARSE = 4  # positions a side below which a map's highest place is nearly anybody's


def grid_note(down: int, across: int) -> str:
    """The table's note on how coarse Grad-CAM's map is, which bounds its scores."""
    said = f"Grad-CAM's map has {down} × {across} positions, enlarged"
    if min(down, across) >= COARSE:
        return f"{said}."
    return (
        f"{said}: too few for its highest place, a position's centre, to name a lesion. Larger images help."
    )


def localisation_table(found: Explanation, *notes: str) -> Table | None:
    """The table of each method's localisation scores, over all lesions and by label; None without masks."""
    rows = []
    for name, score in found.methods.items():
        if score.localisation is not None:
            rows.append(_row(f"{name}: all", score.localisation))
            rows += [_row(f"{name}: {label}", own) for label, own in score.by_label.items()]
    if not rows:
        return None
    return Table(
        title="Do maps point at the lesion?",
        header=(
            "method: label",
            "lesions",
            "hit",
            "hit gain",
            "coverage",
            "coverage gain",
            "usual place",
            "energy",
            "area",
        ),
        rows=tuple(rows),
        notes=(
            "Hit: the highest place is in the mask (pointing game, no tolerance). Coverage: the lesion's "
            "share that is among as many highest places. Gain: that minus the score of another patient's "
            "map, made for the same label and laid over this image: above 0 the map says more than where the "
            "label usually shows. Usual place: coverage of the mean mask of the label's other patients. "
            "Energy: the map's share in the mask. Area: the mask's share of the image, to which pixels at "
            "random come. "
            f"{_intervals(found)}",
            *notes,
        ),
    )


def faithfulness_table(found: Explanation, *notes: str) -> Table:
    """The table of each method's deletion and insertion scores."""
    rows = [
        (
            name,
            _cases(score.faithfulness),
            figure(score.faithfulness.deletion),
            figure(score.faithfulness.deletion_gain, signed=True),
            figure(score.faithfulness.insertion),
            figure(score.faithfulness.insertion_gain, signed=True),
        )
        for name, score in found.methods.items()
    ]
    return Table(
        title=f"Do maps name what the model uses? {found.cases:,} findings",
        header=("method", "cases", "deletion", "gain", "insertion", "gain"),
        rows=tuple(rows),
        notes=(
            "Areas under the label's probability as the map's highest places are deleted, or inserted into a "
            "blurred image (RISE): low is good for deletion, high for insertion. Gain: how much better that "
            "is than by another patient's map, made for the same label: above 0 the map knows what the model "
            "uses in this image. Empty maps are left out: nothing in the image raised the label's logit. "
            f"{_intervals(found)}",
            *notes,
        ),
    )


def _intervals(found: Explanation) -> str:
    return (
        f"[95 %]: bootstrap over patients, {found.bootstrap:,} resamples; none over fewer than "
        f"{FEWEST_PATIENTS} patients."
    )


def _cases(own: Faithfulness) -> str:
    return f"{own.cases:,} ({own.empty:,} empty)" if own.empty else f"{own.cases:,}"


def _row(name: str, own: Localisation) -> tuple[str, ...]:
    return (
        name,
        f"{own.lesions:,}",
        figure(own.hit),
        figure(own.hit_gain, signed=True),
        figure(own.coverage),
        figure(own.coverage_gain, signed=True),
        *map(figure, (own.coverage_usual, own.energy, own.area)),
    )
