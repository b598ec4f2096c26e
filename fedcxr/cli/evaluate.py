"""``fedcxr evaluate``: the CheXpert competition's figures from two CSVs."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import AsJson, Labels, LabelSet
from fedcxr.terminal import say, say_json


@app.command()
def evaluate(
    *,
    predictions: Annotated[
        Path,
        typer.Option(
            help="The CSV of predictions: a column Study or Path, and one for each label.", show_default=False
        ),
    ],
    truth: Annotated[
        Path,
        typer.Option(
            help="The CSV of the truth, of the same form, with 1, 0, -1 or blank.", show_default=False
        ),
    ],
    labels: Labels = LabelSet.COMPETITION,
    compare: Annotated[
        Path | None,
        typer.Option(
            help="Compare with the predictions in this CSV: the paired difference, these minus those.",
            show_default=False,
        ),
    ] = None,
    metrics: Annotated[
        bool,
        typer.Option(
            "--metrics", help="Measure AUPRC, accuracy, F1, sensitivity, specificity, Brier and ECE, too."
        ),
    ] = False,
    calibrate_on: Annotated[
        Path | None,
        typer.Option(
            help="Fit thresholds on these predictions of other patients; the default cross-fits five folds.",
            show_default=False,
        ),
    ] = None,
    calibrate_truth: Annotated[
        Path | None, typer.Option(help="The CSV of the truth for --calibrate-on.", show_default=False)
    ] = None,
    target_sensitivity: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Choose thresholds that reach this sensitivity; 0 chooses Youden's index."
        ),
    ] = 0.0,
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Draw this many resamples of patients; 0 gives no intervals.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the resamples and of the folds.")] = 0,
    as_json: AsJson = False,
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
    if (calibrate_on is None) != (calibrate_truth is None):
        raise typer.BadParameter("--calibrate-on and --calibrate-truth go together.")
    if target_sensitivity and not metrics and calibrate_on is None:
        raise typer.BadParameter("--target-sensitivity chooses thresholds: it wants --metrics.")
    if not 0 <= target_sensitivity <= 1:  # min and max let NaN pass
        raise typer.BadParameter(f"--target-sensitivity is in [0, 1], not {target_sensitivity}.")
    from fedcxr.api.assessment import evaluate as assess

    found = assess(
        predictions,
        truth,
        labels=labels.value,
        compare=compare,
        metrics=metrics,
        calibration=(calibrate_on, calibrate_truth) if calibrate_on and calibrate_truth else None,
        target_sensitivity=target_sensitivity,
        bootstrap=bootstrap,
        seed=seed,
    )
    if as_json:
        for warning in found.warnings:
            say(f"warning: {warning}", err=True)  # a table has them as its notes
        say_json(found.to_json())
        return
    from fedcxr.report.assessment import assessment_table, difference_table, panel_table
    from fedcxr.terminal.console import Console

    console = Console()
    console.print(assessment_table(found))
    if found.metrics is not None:
        console.print(panel_table(found.metrics, found.thresholds_from))
    if found.comparison is not None:
        console.print(difference_table(found.comparison))
