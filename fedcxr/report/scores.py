"""Tables of one model's evaluation: by label, and by hospital."""

from __future__ import annotations

from collections.abc import Iterable

from fedcxr.data.labels import COMPETITION_LABELS
from fedcxr.evaluation.bootstrap import FEWEST
from fedcxr.evaluation.scores import Estimate, Evaluation, LabelScore, MeanScore, Scores
from fedcxr.report.tables import UNDEFINED, Table, figure

FEW = 10  # patients of a class below which resampling them says little of other patients

METHOD = (
    "AUROC per study: the highest probability of its views, against labels of 1 and 0; uncertain and blank "
    "labels are left out."
)


def label_table(evaluation: Evaluation) -> Table:
    """The table of every label's AUROC with its interval and counts, and of the two means."""
    rows = [
        (
            f"{score.label} *" if score.label in COMPETITION_LABELS else score.label,
            _cell(score) if score.value is not None else f"{UNDEFINED}: {score.undefined}",
            f"{score.positives:,}",
            f"{score.negatives:,}",
        )
        for score in evaluation.labels
    ]
    rows.append(
        (mean_name(evaluation.competition, "competition tasks *"), figure(evaluation.competition), "", "")
    )
    rows.append((mean_name(evaluation.macro, "labels"), figure(evaluation.macro), "", ""))
    return Table(
        title=f"AUROC on {evaluation.studies:,} studies ({evaluation.images:,} images)",
        header=("label", "AUROC [95 %]", "positive", "negative"),
        rows=tuple(rows),
        notes=(METHOD, interval_note(evaluation), *_few_note([evaluation])),
    )


def hospital_table(evaluation: Evaluation) -> Table:
    """The table of each hospital's own studies: the two means and the five competition tasks."""
    parts: list[tuple[str, Scores]] = [*evaluation.hospitals.items(), ("all", evaluation)]
    rows = [
        (
            name,
            f"{scores.studies:,}",
            f"{figure(scores.macro)} ({len(scores.macro.labels)})",
            f"{figure(scores.competition)} ({len(scores.competition.labels)})",
            *(_cell(scores.label(label)) for label in COMPETITION_LABELS),
        )
        for name, scores in parts
    ]
    return Table(
        title="AUROC by hospital, each on its own validation studies",
        header=("hospital", "studies", "mean (labels)", "mean of five (tasks)", *COMPETITION_LABELS),
        rows=tuple(rows),
        notes=(
            "In brackets behind a mean: over how many labels it goes. Hospitals differ in which labels have "
            "both classes, so their means are not means of the same thing. The last row compares studies of "
            "different hospitals, too: where a model scores one of them higher than another, it can "
            "be below each hospital's own.",
            *_few_note([scores for _, scores in parts]),
        ),
    )


def _cell(score: LabelScore) -> str:
    return figure(score) + (" †" if _is_few(score) else "")


def _is_few(score: LabelScore) -> bool:
    return score.low is not None and score.fewest < FEW


def _few_note(parts: Iterable[Scores]) -> tuple[str, ...]:
    if not any(_is_few(score) for part in parts for score in part.labels):
        return ()
    return (
        f"† Fewer than {FEW} patients with positive, or with negative, studies: the interval is narrower "
        "than the doubt.",
    )


def mean_name(score: MeanScore, what: str) -> str:
    """The name of a mean, such as ``Mean of 4 of 5 competition tasks``."""
    return f"Mean of {len(score.labels)} of {score.of} {what}"


def bootstrap_note(drawn: int, named: Iterable[tuple[str, Estimate]] = ()) -> str:
    """What an interval is, why a figure may have none, and which of ``named`` rest on fewer resamples."""
    if not drawn:
        return "No intervals: no bootstrap was asked for."
    note = (
        f"[95 %]: percentile bootstrap over patients, {drawn:,} resamples; none where fewer than {FEWEST} of "
        "them have both classes."
    )
    fewer = [pair for pair in named if pair[1].value is not None and pair[1].resamples < drawn]
    short = [
        f"{score.resamples:,}{'' if place else ' counted'} for {name}"
        for place, (name, score) in enumerate(fewer)
    ]
    return f"{note} Of {drawn:,} resamples {', '.join(short)}." if short else note


def interval_note(evaluation: Evaluation) -> str:
    """:func:`bootstrap_note` of an evaluation's labels and means."""
    named: list[tuple[str, Estimate]] = [(score.label, score) for score in evaluation.labels]
    named += [("the mean of five", evaluation.competition), ("the mean", evaluation.macro)]
    return bootstrap_note(evaluation.bootstrap, named)
