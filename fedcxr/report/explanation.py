"""Tables of a model's explanations and their scores."""

from __future__ import annotations

from fedcxr.evaluation.explanation import Explanation
from fedcxr.evaluation.localisation import Localisation
from fedcxr.report.tables import Table, figure


def localisation_table(found: Explanation) -> Table | None:
    """Each method on lesions with masks, all and label by label; None without masks."""
    rows = []
    for name, score in found.methods.items():
        if score.localisation is not None:
            rows.append(_row(f"{name}: all", score.localisation))
            rows += [_row(f"{name}: {label}", own) for label, own in score.by_label.items()]
    if not rows:
        return None
    return Table(
        title="Do maps point at the lesion?",
        header=("method: label", "lesions", "hit", "coverage", "chance", "coverage − chance", "energy"),
        rows=tuple(rows),
        notes=(
            "Hit: the highest place is in the mask (pointing game, no tolerance). Coverage: the lesion's "
            "share that is among as many highest places. Energy: the map's share in the mask. Chance: the "
            "mask's share of the image, to which all three come by luck. [95 %]: bootstrap over patients, "
            f"{found.bootstrap:,} resamples.",
        ),
        essential=5,
    )


def faithfulness_table(found: Explanation) -> Table:
    """Each method's deletion and insertion."""
    rows = [
        (
            name,
            figure(score.faithfulness.deletion),
            figure(score.faithfulness.deletion_gain, signed=True),
            figure(score.faithfulness.insertion),
            figure(score.faithfulness.insertion_gain, signed=True),
        )
        for name, score in found.methods.items()
    ]
    return Table(
        title=f"Do maps name what the model uses? {found.cases:,} findings",
        header=("method", "deletion (low)", "random − it", "insertion (high)", "it − random"),
        rows=tuple(rows),
        notes=(
            "Areas under the label's probability as the map's highest places are deleted, or inserted into a "
            "blurred image (RISE); paired with random order: above 0 the map knows something.",
        ),
    )


def _row(name: str, own: Localisation) -> tuple[str, ...]:
    figures = map(figure, (own.hit, own.coverage, own.chance))
    return (name, f"{own.lesions:,}", *figures, figure(own.gain, signed=True), figure(own.energy))
