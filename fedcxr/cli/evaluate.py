"""``fedcxr evaluate``: the CheXpert competition's figures from two CSVs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app

if TYPE_CHECKING:
    from fedcxr.evaluation.auroc import Floats
    from fedcxr.evaluation.competition.sheets import Sheet
    from fedcxr.evaluation.studies import StudyScores


class TaskSet(StrEnum):
    """Which labels are scored."""

    COMPETITION = "competition"
    ALL = "all"


@app.command()
def evaluate(
    *,
    predictions: Annotated[
        Path, typer.Option(help="CSV: a column Study or Path, and a column a label.", show_default=False)
    ],
    truth: Annotated[
        Path, typer.Option(help="CSV of the same form with 1, 0, -1 or blank.", show_default=False)
    ],
    tasks: Annotated[TaskSet, typer.Option(help="The competition's five, or all 14.")] = TaskSet.COMPETITION,
    compare: Annotated[
        Path | None,
        typer.Option(help="Other predictions: the paired difference, these minus those.", show_default=False),
    ] = None,
    metrics: Annotated[
        bool,
        typer.Option("--metrics", help="AUPRC, accuracy, F1, sensitivity, specificity, Brier, ECE, too."),
    ] = False,
    calibrate_on: Annotated[
        Path | None,
        typer.Option(
            help="Predictions of other patients, to fit thresholds on; else five-fold cross-fitting.",
            show_default=False,
        ),
    ] = None,
    calibrate_truth: Annotated[
        Path | None, typer.Option(help="The truth of --calibrate-on.", show_default=False)
    ] = None,
    target_sensitivity: Annotated[
        float, typer.Option(min=0, max=1, help="Thresholds reach this sensitivity; 0: Youden's index.")
    ] = 0.0,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples of patients; 0: no intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples and the folds.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Score predictions as CheXpert's competition does: AUROC per study, and the mean over the tasks.

    A study's probability is the highest of its images. Uncertain and blank truth is left out. Predictions of
    studies that the truth lacks are left out; a study without a prediction is an error, as is one that stands
    twice, a number that is not finite, and a truth that differs between a study's images. A task with one
    class has no AUROC, and the mean goes over the others. Any finite scores will do for AUROC and thresholds;
    Brier score and calibration error want them in [0, 1].

    --json: mean_auroc, low, high; tasks.LABEL has auroc, low, high, positives, negatives, unknown, undefined
    (why there is none) and delong (value, error, low, high); comparison has difference, low, high and
    tasks.LABEL with difference, low, high and delong (p); metrics has labels.LABEL, macro, micro and
    multilabel, each figure with value, low, high; warnings.
    """
    from fedcxr.evaluation.competition.assessment import TASKS, Assessment, difference, score_tasks
    from fedcxr.evaluation.competition.pairing import pair
    from fedcxr.evaluation.competition.sheets import read_scores, read_truth

    if (calibrate_on is None) != (calibrate_truth is None):
        raise typer.BadParameter("--calibrate-on and --calibrate-truth go together.")
    if target_sensitivity and not metrics and calibrate_on is None:
        raise typer.BadParameter("--target-sensitivity chooses thresholds: it wants --metrics.")
    if not 0 <= target_sensitivity <= 1:  # min and max let NaN pass
        raise typer.BadParameter(f"--target-sensitivity is in [0, 1], not {target_sensitivity}.")
    wanted = TASKS[tasks.value]
    scores, labels = read_scores(predictions, wanted), read_truth(truth, wanted)
    shared, warnings = _shared(scores, labels, wanted)
    scored = pair(scores, labels, shared)
    measured, scored_tasks, mean, over = score_tasks(scored, shared, bootstrap=bootstrap, seed=seed)
    warnings += [
        f"{label}: {task.undefined}; the mean leaves it out."
        for label, task in scored_tasks.items()
        if task.auroc is None
    ]
    panel, source = None, ""
    if metrics or calibrate_on is not None:
        from fedcxr.evaluation.panel import measure_panel

        calibration = (calibrate_on, calibrate_truth) if calibrate_on and calibrate_truth else None
        thresholds, source, said = _thresholds(scored, labels, shared, calibration, target_sensitivity, seed)
        panel = measure_panel(scored, shared, thresholds, resamples=bootstrap, seed=seed)
        warnings += said
    other = None
    if compare is not None:
        others = _with_all(read_scores(compare, shared), shared)
        second = pair(others, labels, shared)
        warnings += _of_predictions(others, labels)
        other = difference(scored, second, measured, shared, name=str(compare), seed=seed)
    found = Assessment(
        predictions=str(predictions),
        truth=str(truth),
        task_set=tasks.value,
        studies=len(labels),
        patients=len(set(labels.patients)),
        extra_studies=len(scores) - len(labels),
        mean_auroc=mean.value,
        low=mean.low,
        high=mean.high,
        resamples=mean.resamples,
        mean_over=over,
        bootstrap=bootstrap,
        seed=seed,
        tasks=scored_tasks,
        metrics=panel,
        thresholds_from=source,
        comparison=other,
        warnings=tuple(warnings),
    )
    if as_json:
        for warning in found.warnings:
            typer.echo(f"warning: {warning}", err=True)  # a table has them as its notes
        typer.echo(found.to_json())
        return
    from rich.console import Console

    from fedcxr.report.assessment import assessment_table, difference_table, panel_table

    console = Console(highlight=False)
    console.print(assessment_table(found))
    if found.metrics is not None:
        console.print(panel_table(found.metrics, found.thresholds_from))
    if found.comparison is not None:
        console.print(difference_table(found.comparison))


def _shared(scores: "Sheet", truth: "Sheet", wanted: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    """The labels that both files have, and what to say of the rest.

    Raises:
        TableError: there is none.
    """
    from fedcxr.errors import TableError

    warnings = []
    shared = tuple(label for label in wanted if label in scores.labels and label in truth.labels)
    if not shared:
        raise TableError(
            f"{scores.csv} has {', '.join(scores.labels)}; {truth.csv} has {', '.join(truth.labels)}: "
            "no label in common."
        )
    for sheet in (scores, truth):
        if missing := [label for label in wanted if label not in sheet.labels]:
            warnings.append(f"{sheet.csv} has no {', '.join(missing)}: not scored.")
    warnings += _passed_over(truth) + _of_predictions(scores, truth)
    if anonymous := truth.anonymous:
        warnings.append(
            f"{truth.csv}: {len(anonymous):,} of {len(truth):,} studies do not say whose they are, such as "
            f"{anonymous[0]} (the form is …/patient00001/study1/…): each counts as a patient of its own, so "
            "intervals are too narrow where patients have several."
        )
    return shared, warnings


def _of_predictions(scores: "Sheet", truth: "Sheet") -> list[str]:
    """What of a file of predictions is left out, or scored by less than there is."""
    from fedcxr.evaluation.competition.pairing import fewer_views

    warnings = _passed_over(scores)
    if extra := len(scores) - len(truth):
        warnings.append(f"{extra:,} studies of {scores.csv} are not in {truth.csv}: left out.")
    if fewer := fewer_views(scores, truth):
        warnings.append(
            f"{scores.csv}: of {len(fewer):,} studies it has fewer images than {truth.csv}, such as "
            f"{fewer[0]}: their probability is the highest of those that are there."
        )
    return warnings


def _passed_over(sheet: "Sheet") -> list[str]:
    return [f"{sheet.csv}: columns passed over: {', '.join(sheet.ignored)}."] if sheet.ignored else []


def _with_all(sheet: "Sheet", labels: tuple[str, ...]) -> "Sheet":
    """Raises TableError where a sheet lacks one of the labels."""
    from fedcxr.errors import TableError

    if missing := [label for label in labels if label not in sheet.labels]:
        raise TableError(f"{sheet.csv}, row 1: no column {missing[0]!r}, a label that is scored.")
    return sheet


def _thresholds(
    scored: "StudyScores",
    truth: "Sheet",
    labels: tuple[str, ...],
    calibration: tuple[Path, Path] | None,
    target: float,
    seed: int,
) -> "tuple[Floats, str, list[str]]":
    """Where a probability becomes a yes, where these thresholds come from, and what to say of them."""
    from fedcxr.evaluation.competition.pairing import check_apart, pair
    from fedcxr.evaluation.competition.sheets import read_scores, read_truth
    from fedcxr.evaluation.thresholds import FOLDS, cross_fit, fit_thresholds, rule, unfitted

    how = rule(target)
    if calibration is None:
        thresholds = cross_fit(scored, seed, target)
        source = f"{how}, cross-fitted over {FOLDS} folds of patients"
        return thresholds, source, unfitted(thresholds, labels, None)
    scores, known = read_scores(calibration[0], labels), read_truth(calibration[1], labels)
    check_apart(known, truth)
    for sheet in (scores, known):
        _with_all(sheet, labels)
    fitted_on = pair(scores, known, labels)
    thresholds = fit_thresholds(fitted_on, target)
    source = f"{how}, on {len(known):,} studies of {calibration[1]}"
    warnings = _passed_over(known) + _of_predictions(scores, known)
    return thresholds, source, warnings + unfitted(thresholds, labels, fitted_on)
