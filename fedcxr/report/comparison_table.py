"""Tables that compare the federated model with the pooled model and with each hospital's own."""

from __future__ import annotations

from collections.abc import Iterable

from fedcxr.data.labels import COMPETITION_LABELS
from fedcxr.evaluation.comparison import Comparison, ComparisonRow, Kind
from fedcxr.evaluation.scores import Estimate, Scores
from fedcxr.report.scores import interval_note
from fedcxr.report.tables import UNDEFINED, Table, count, figure


def comparison_table(comparison: Comparison) -> Table:
    """The table of every model's scores on the common validation set."""
    first = comparison.rows[0].evaluation
    rows = [
        (
            f"{row.name} alone" if row.kind is Kind.ALONE else row.name,
            f"{row.images:,}",
            f"{row.passes:,}",
            figure(row.evaluation.macro),
            "" if row.kind is Kind.FEDERATED else figure(row.macro_gain, signed=True),
            figure(row.evaluation.competition),
            *(_short(row.evaluation.label(label)) for label in COMPETITION_LABELS),
        )
        for row in comparison.rows
    ]
    return Table(
        title=f"Federated, pooled, alone: AUROC on the same {first.studies:,} studies",
        header=(
            "model",
            "images",
            "image\npasses",
            f"mean of\n{len(first.macro.labels)} labels",
            "minus\nfederated",
            f"mean of\n{len(first.competition.labels)} of 5 tasks",
            *COMPETITION_LABELS,
        ),
        rows=tuple(rows),
        notes=(
            _budget(comparison),
            interval_note(first) + " Differences are paired.",
            *_failures(comparison),
        ),
    )


def own_table(comparison: Comparison) -> Table:
    """The table of each hospital's own studies: scores of its own, the federated and the pooled model."""
    alone = comparison.of_kind(Kind.ALONE)
    shared = [row for row in comparison.rows if row.kind in (Kind.FEDERATED, Kind.POOLED)]
    rows = []
    for row in alone:
        own = row.evaluation.hospitals.get(row.name)
        if own is None:
            continue
        others = (figure(other.evaluation.hospitals[row.name].macro) for other in shared)
        rows.append((row.name, f"{own.studies:,}", str(len(own.macro.labels)), figure(own.macro), *others))
    if rows:
        rows += [_mean_row("mean by images", alone, shared, by_images=True)]
        rows += [_mean_row("plain mean", alone, shared, by_images=False)]
    return Table(
        title="At home: mean AUROC on each hospital's own validation studies",
        header=("hospital", "studies", "labels", "its own model", *(row.name for row in shared)),
        rows=tuple(rows),
        notes=(
            "Over the labels that have both classes among the hospital's studies; they differ by hospital.",
        ),
    )


def _mean_row(
    name: str, alone: Iterable[ComparisonRow], shared: Iterable[ComparisonRow], *, by_images: bool
) -> tuple[str, ...]:
    """The row of means over the hospitals that have a mean AUROC; it has no intervals."""
    own: list[tuple[int, str, Scores]] = [
        (row.images if by_images else 1, row.name, row.evaluation.hospitals[row.name])
        for row in alone
        if row.name in row.evaluation.hospitals
    ]
    defined = [
        (weight, hospital, scores) for weight, hospital, scores in own if scores.macro.value is not None
    ]

    def mean(values: Iterable[float | None]) -> str:
        weighed = [(w, v) for (w, _, _), v in zip(defined, values, strict=True) if v is not None]
        return f"{sum(w * v for w, v in weighed) / sum(w for w, _ in weighed):.3f}" if weighed else UNDEFINED

    cells = [mean(scores.macro.value for _, _, scores in defined)]
    cells += [
        mean(row.evaluation.hospitals[hospital].macro.value for _, hospital, _ in defined) for row in shared
    ]
    studies = sum(scores.studies for _, _, scores in defined)
    return (f"{name} ({len(defined)})", f"{studies:,}", "", *cells)


def _short(estimate: Estimate) -> str:
    return UNDEFINED if estimate.value is None else f"{estimate.value:.3f}"


def _budget(comparison: Comparison) -> str:
    rounds, epochs = count(comparison.rounds, "round"), count(comparison.local_epochs, "local epoch")
    return (
        f"One budget: {rounds} of {epochs}, one schedule, a fresh optimiser each round. "
        "The pooled model puts every hospital's images through the network as often as a federation in which "
        "all hospitals answer; a hospital alone, its own. The column of image passes counts them."
    )


def _failures(comparison: Comparison) -> tuple[str, ...]:
    return tuple(f"{name} could not be trained alone: {why}" for name, why in comparison.failed.items())
