"""The CheXpert competition's figures from two CSVs: predictions, and the truth."""

from __future__ import annotations

from pathlib import Path

from fedcxr.api.labels import LabelSet, labels_of
from fedcxr.errors import ConfigError, TableError
from fedcxr.evaluation.auroc import Floats
from fedcxr.evaluation.competition.assessment import Assessment, difference, score_tasks
from fedcxr.evaluation.competition.pairing import check_apart, fewer_views, pair
from fedcxr.evaluation.competition.sheets import Sheet, read_scores, read_truth
from fedcxr.evaluation.panel import measure_panel
from fedcxr.evaluation.studies import StudyScores
from fedcxr.evaluation.thresholds import FOLDS, cross_fit, fit_thresholds, rule, unfitted


def evaluate(
    predictions: str | Path,
    truth: str | Path,
    *,
    labels: LabelSet = "competition",
    compare: str | Path | None = None,
    metrics: bool = False,
    calibration: tuple[str | Path, str | Path] | None = None,
    target_sensitivity: float = 0.0,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Assessment:
    """Score predictions as CheXpert's competition does: AUROC per study, and the mean over the labels.

    Args:
        predictions: CSV with a column Study or Path, and a column a label.
        truth: CSV of the same form with 1, 0, -1 or blank.
        labels: the set of labels that is scored.
        compare: other predictions; the assessment has the paired difference, these minus those.
        metrics: measure also AUPRC, accuracy, F1, sensitivity, specificity, Brier score and ECE.
        calibration: predictions and truth of other patients, on which thresholds are fitted; it implies
            ``metrics``. None fits them by five-fold cross-fitting.
        target_sensitivity: the sensitivity in [0, 1] that thresholds reach; 0 for Youden's index.
        bootstrap: resamples of patients; 0 for no intervals.
        seed: of the resamples and of the folds.

    Raises:
        ConfigError: there is no such set of labels, or a number is outside of what is allowed.
        TableError: a CSV cannot be read, has no label in common with the other, or lacks a study.
        DataError: no label has positive and negative studies.
    """
    if not 0 <= target_sensitivity <= 1 or bootstrap < 0 or seed < 0:
        raise ConfigError(
            f"target_sensitivity = {target_sensitivity}, bootstrap = {bootstrap}, seed = {seed}: the first "
            "is in [0, 1], the others are 0 or more."
        )
    if target_sensitivity and not metrics and calibration is None:
        raise ConfigError("target_sensitivity chooses thresholds: ask for metrics, too.")
    wanted = labels_of(labels)
    scores, known = read_scores(Path(predictions), wanted), read_truth(Path(truth), wanted)
    shared, warnings = _shared(scores, known, wanted)
    scored = pair(scores, known, shared)
    measured, scored_tasks, mean, over = score_tasks(scored, shared, bootstrap=bootstrap, seed=seed)
    warnings += [
        f"{label}: {task.undefined}; the mean leaves it out."
        for label, task in scored_tasks.items()
        if task.auroc is None
    ]
    panel, source = None, ""
    if metrics or calibration is not None:
        thresholds, source, said = _thresholds(
            scored, known, shared, calibration=calibration, target=target_sensitivity, seed=seed
        )
        panel = measure_panel(scored, shared, thresholds, resamples=bootstrap, seed=seed)
        warnings += said
    other = None
    if compare is not None:
        others = _with_all(read_scores(Path(compare), shared), shared)
        second = pair(others, known, shared)
        warnings += _of_predictions(others, known)
        other = difference(scored, second, measured, shared, name=str(compare), seed=seed)
    return Assessment(
        predictions=str(predictions),
        truth=str(truth),
        task_set=labels,
        studies=len(known),
        patients=len(set(known.patients)),
        extra_studies=len(scores) - len(known),
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


def _shared(scores: Sheet, truth: Sheet, wanted: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    """The labels that both files have, and what to say of the rest.

    Raises:
        TableError: there is none.
    """
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


def _of_predictions(scores: Sheet, truth: Sheet) -> list[str]:
    """What of a file of predictions is left out, or scored by less than there is."""

    warnings = _passed_over(scores)
    if extra := len(scores) - len(truth):
        warnings.append(f"{extra:,} studies of {scores.csv} are not in {truth.csv}: left out.")
    if fewer := fewer_views(scores, truth):
        warnings.append(
            f"{scores.csv}: of {len(fewer):,} studies it has fewer images than {truth.csv}, such as "
            f"{fewer[0]}: their probability is the highest of those that are there."
        )
    return warnings


def _passed_over(sheet: Sheet) -> list[str]:
    return [f"{sheet.csv}: columns passed over: {', '.join(sheet.ignored)}."] if sheet.ignored else []


def _with_all(sheet: Sheet, labels: tuple[str, ...]) -> Sheet:
    """Raises TableError where a sheet lacks one of the labels."""
    if missing := [label for label in labels if label not in sheet.labels]:
        raise TableError(f"{sheet.csv}, row 1: no column {missing[0]!r}, a label that is scored.")
    return sheet


def _thresholds(
    scored: StudyScores,
    truth: Sheet,
    labels: tuple[str, ...],
    *,
    calibration: tuple[str | Path, str | Path] | None,
    target: float,
    seed: int,
) -> tuple[Floats, str, list[str]]:
    """Where a probability becomes a yes, where these thresholds come from, and what to say of them."""

    how = rule(target)
    if calibration is None:
        thresholds = cross_fit(scored, seed, target)
        source = f"{how}, cross-fitted over {FOLDS} folds of patients"
        return thresholds, source, unfitted(thresholds, labels, None)
    scores, known = read_scores(Path(calibration[0]), labels), read_truth(Path(calibration[1]), labels)
    check_apart(known, truth)
    for sheet in (scores, known):
        _with_all(sheet, labels)
    fitted_on = pair(scores, known, labels)
    thresholds = fit_thresholds(fitted_on, target)
    source = f"{how}, on {len(known):,} studies of {calibration[1]}"
    warnings = _passed_over(known) + _of_predictions(scores, known)
    return thresholds, source, warnings + unfitted(thresholds, labels, fitted_on)
