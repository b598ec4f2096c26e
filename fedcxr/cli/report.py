"""``fedcxr report``: a released model looked at closely, in figures and pictures."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.app import app


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    *,
    number: Annotated[
        int | None,
        typer.Option(
            "--round", min=0, help="The model of this round; the last by default.", show_default=False
        ),
    ] = None,
) -> None:
    """Write RUN/report: every metric with intervals, ROC and PR curves, reliability, learning, embedding.

    A simulation writes it at its end. Thresholds are cross-fitted over patients, by Youden's index or
    evaluation.target_sensitivity; predictions.csv is what `fedcxr evaluate` takes.
    """
    from rich.console import Console

    from fedcxr.report.run_report import write_report
    from fedcxr.run.released import ReleasedModel

    found = ReleasedModel.open(run, number)
    page = write_report(found.run, found.model, found.table, found.valid, round_number=found.round)
    Console(highlight=False).print(f"report: {page}", soft_wrap=True)
