"""The assessment that `fedcxr evaluate` makes of a CSV of predictions: figures and their intervals.

The task's AUROC is that of its known studies; the official figure is the plain mean over the tasks. Intervals
resample patients. DeLong's is given beside it where its assumption holds: no two studies of one patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from pydantic import PlainSerializer, TypeAdapter

from fedcxr.data.labels import COMPETITION_LABELS, LABELS
from fedcxr.errors import DataError
from fedcxr.evaluation.bootstrap import Resampled, areas
from fedcxr.evaluation.delong import DeLong, delong_difference, delong_interval
from fedcxr.evaluation.metrics import make_scores
from fedcxr.evaluation.panel import Panel
from fedcxr.evaluation.scores import Estimate
from fedcxr.evaluation.studies import StudyScores

SCHEMA = 2  # of the JSON; a key keeps its meaning, new ones may appear

Words = Annotated[str, PlainSerializer(lambda text: text.encode("utf-8", "backslashreplace").decode())]
"""Text that may hold the name of a file, which need not be UTF-8."""

TASKS: Mapping[str, tuple[str, ...]] = {"competition": COMPETITION_LABELS, "all": LABELS}


@dataclass(frozen=True)
class TaskScore:
    """The score of one task.

    Attributes:
        auroc: None where it is undefined; ``undefined`` says why.
        low, high: 95 % percentile bootstrap over patients; None without one.
        resamples: that counted.
        positives, negatives, unknown: studies; uncertain and blank ones are unknown and left out.
        delong: DeLong's interval; None where a patient has two studies, or a class fewer than two.
    """

    auroc: float | None
    low: float | None
    high: float | None
    resamples: int
    positives: int
    negatives: int
    unknown: int
    undefined: str
    delong: DeLong | None


@dataclass(frozen=True)
class TaskDifference:
    """One task's AUROC minus the other predictions', paired; ``auroc`` is that of the other predictions."""

    auroc: float | None
    difference: float | None
    low: float | None
    high: float | None
    delong: DeLong | None


@dataclass(frozen=True)
class Difference:
    """These predictions' figures minus others', on the same studies and the same resamples.

    Attributes:
        predictions: the other CSV.
        mean_auroc: of the other.
        difference, low, high: of the means, these minus the other's.
        tasks: by label.
    """

    predictions: Words
    mean_auroc: float | None
    difference: float | None
    low: float | None
    high: float | None
    tasks: Mapping[str, TaskDifference]


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """The figures of predictions against truth.

    Attributes:
        predictions, truth: the CSVs.
        task_set: competition or all.
        studies, patients: of the truth; all are predicted.
        extra_studies: predicted, and not in the truth: left out.
        mean_auroc: over the tasks that have one, ``mean_over``.
        low, high, resamples: of the mean.
        bootstrap, seed: resamples drawn, and from what.
        tasks: by label.
        metrics: everything else, where it was asked for.
        thresholds_from: where its thresholds come from.
        comparison: with other predictions.
        warnings: what a reader must know.
    """

    schema: int = SCHEMA
    predictions: Words
    truth: Words
    task_set: str
    studies: int
    patients: int
    extra_studies: int
    mean_auroc: float | None
    low: float | None
    high: float | None
    resamples: int
    mean_over: tuple[str, ...]
    bootstrap: int
    seed: int
    tasks: Mapping[str, TaskScore]
    metrics: Panel | None = None
    thresholds_from: Words = ""
    comparison: Difference | None = None
    warnings: tuple[Words, ...] = field(default=())

    def to_json(self) -> str:
        """JSON, indented; what is undefined is null."""
        return TypeAdapter(Assessment).dump_json(self, indent=1).decode()


def score_tasks(
    scored: StudyScores, labels: Sequence[str], *, bootstrap: int, seed: int
) -> tuple[Resampled, dict[str, TaskScore], Estimate, tuple[str, ...]]:
    """Score the tasks of some studies: areas, each task's score, their mean, and the tasks that it is over.

    Raises:
        DataError: no task has both classes.
    """
    measured = areas(scored, bootstrap, seed)
    scores = make_scores(scored, measured)
    tasks = {}
    for label in labels:
        score = scores.label(label)
        tasks[label] = TaskScore(
            auroc=score.value,
            low=score.low,
            high=score.high,
            resamples=score.resamples,
            positives=score.positives,
            negatives=score.negatives,
            unknown=len(scored) - score.positives - score.negatives,
            undefined=score.undefined,
            delong=_delong(scored, label),
        )
    defined = tuple(label for label in labels if tasks[label].auroc is not None)
    if not defined:
        why = "; ".join(f"{label}: {task.undefined}" for label, task in tasks.items())
        raise DataError(f"no task has an AUROC: it wants positive and negative studies ({why}).")
    mean = measured.estimate([LABELS.index(label) for label in labels])
    return measured, tasks, mean, defined


def difference(
    first: StudyScores,
    second: StudyScores,
    mine: Resampled,
    labels: Sequence[str],
    *,
    name: str,
    seed: int,
) -> Difference:
    """The first predictions minus the second's, on the same studies.

    Args:
        first, second: paired with one truth.
        mine: the first's areas.
        labels: the tasks.
        name: of the second's CSV.
        seed: of the first's resamples; the second meets the same.
    """
    other = areas(second, len(mine.drawn), seed)
    gain = mine - other
    columns = [LABELS.index(label) for label in labels]
    tasks = {}
    for label, column in zip(labels, columns, strict=True):
        own, estimate = other.estimate([column]), gain.estimate([column])
        tasks[label] = TaskDifference(
            own.value, estimate.value, estimate.low, estimate.high, _delong(first, label, second)
        )
    mean = gain.estimate(columns)
    return Difference(name, other.estimate(columns).value, mean.value, mean.low, mean.high, tasks)


def _delong(scored: StudyScores, label: str, other: StudyScores | None = None) -> DeLong | None:
    """DeLong's interval where its cases are independent, that is where no patient has two known studies."""
    column = LABELS.index(label)
    rows, positive = scored.known(column)
    if len(np.unique(scored.patients[rows])) < len(rows):
        return None
    if other is None:
        return delong_interval(scored.scores[rows, column], positive)
    return delong_difference(scored.scores[rows, column], other.scores[rows, column], positive)
