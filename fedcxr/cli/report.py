"""``fedcxr report``: a released model looked at closely, in figures and pictures."""

from fedcxr.cli.app import app
from fedcxr.cli.options import ModelRound, RunPath


@app.command()
def report(
    run: RunPath,
    *,
    number: ModelRound = None,
) -> None:
    """Write RUN/report: every metric with intervals, ROC and PR curves, reliability, learning, embedding.

    A simulation writes this report at its end. Thresholds are cross-fitted over patients, by Youden's index
    or evaluation.target_sensitivity; predictions.csv is what `fedcxr evaluate` takes.
    """
    from fedcxr.report.run_report import write_report
    from fedcxr.run.released import ReleasedModel
    from fedcxr.terminal import say

    found = ReleasedModel.open(run, number)
    page = write_report(found.run, found.model, found.table, found.valid, round_number=found.round)
    say(f"report: {page}")
