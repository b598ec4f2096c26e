"""Tables of what `fedcxr evaluate` found."""

from __future__ import annotations

from collections.abc import Mapping

from fedcxr.evaluation.competition.assessment import TASKS, Assessment, Difference
from fedcxr.evaluation.delong import DeLong
from fedcxr.evaluation.panel import METRICS, Panel
from fedcxr.evaluation.scores import Estimate
from fedcxr.report.scores import bootstrap_note
from fedcxr.report.tables import UNDEFINED, Table, figure

_NAMES = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1", "brier": "Brier"}
_NAMES |= {"ece_equal_mass": "ECE, equal mass", "ece_equal_width": "ECE, equal width"}


def assessment_table(found: Assessment) -> Table:
    """The table of every task's AUROC with its intervals, and of their mean."""
    rows = [
        (
            label,
            figure(Estimate(value=task.auroc, low=task.low, high=task.high)),
            _delong(task.delong),
            f"{task.positives:,}",
            f"{task.negatives:,}",
        )
        for label, task in found.tasks.items()
    ]
    mean = Estimate(value=found.mean_auroc, low=found.low, high=found.high)
    asked = len(TASKS[found.task_set])
    rows.append((f"Mean of {len(found.mean_over)} of {asked} tasks", figure(mean), "", "", ""))
    intervals = (
        f"{bootstrap_note(found.bootstrap)} Seed {found.seed}. "
        "DeLong's interval: –, where a patient has two studies, or a class fewer than two."
        if found.bootstrap
        else bootstrap_note(0)
    )
    return Table(
        title=f"AUROC on {found.studies:,} studies of {found.patients:,} patients",
        header=("task", "AUROC [95 %]", "DeLong", "positive", "negative"),
        rows=tuple(rows),
        notes=(intervals, *found.warnings),
    )


def difference_table(found: Difference) -> Table:
    """The table of differences between two sets of predictions, task by task."""
    rows = [
        (
            label,
            UNDEFINED if task.auroc is None else f"{task.auroc:.3f}",
            figure(Estimate(value=task.difference, low=task.low, high=task.high), signed=True),
            "–" if task.delong is None or task.delong.p is None else f"{task.delong.p:.3g}",
        )
        for label, task in found.tasks.items()
    ]
    mean = Estimate(value=found.difference, low=found.low, high=found.high)
    other = UNDEFINED if found.mean_auroc is None else f"{found.mean_auroc:.3f}"
    return Table(
        title=f"Minus {found.predictions}, on the same studies and resamples",
        header=("task", "its AUROC", "difference [95 %]", "DeLong p"),
        rows=(*rows, ("Mean", other, figure(mean, signed=True), "")),
    )


def panel_table(panel: Panel, thresholds_from: str) -> Table:
    """The table of every figure of every label, and of the macro and micro averages."""

    def line(name: str, figures: Mapping[str, Estimate], threshold: float | None) -> tuple[str, ...]:
        shown = "–" if threshold is None else f"{threshold:.3f}"
        return (name, *(figure(figures[metric]) for metric in METRICS), shown)

    rows = [line(label, own, panel.thresholds[label]) for label, own in panel.labels.items()]
    rows += [line("macro", panel.macro, None), line("micro", panel.micro, None)]
    subset, hamming = (figure(panel.multilabel[name]) for name in ("subset_accuracy", "hamming_accuracy"))
    notes = [
        f"All known labels of a study right: {subset}; known labels right: {hamming}.",
        f"Thresholds: {thresholds_from}. Intervals hold them fixed.",
        "ECE: ten bins of equal mass; fifteen of equal width, most of them empty where a finding is rare. "
        "Both are biased upwards in small sets, and more so in resamples: their intervals are upper ones.",
    ]
    if not panel.probabilities:
        notes.append("Scores leave [0, 1], so they are no probabilities: no Brier score, no ECE.")
    return Table(
        title="Every figure",
        header=("label", *(_NAMES.get(name, name) for name in METRICS), "threshold"),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _delong(found: DeLong | None) -> str:
    return "–" if found is None else f"[{found.low:.3f}, {found.high:.3f}]"
