"""``fedcxr robustness``: a run's model on the same test set made worse."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import AsJson, ModelRound, RunPath
from fedcxr.terminal import say_json


@app.command()
def robustness(
    run: RunPath,
    *,
    number: ModelRound = None,
    corruptions: Annotated[
        list[str] | None,
        typer.Option(
            "--corruption",
            help="Measure only this corruption. It may be given many times.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; the default is RUN/report.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure AUROC under noise, blur, contrast, compression and rotation, at ImageNet-C's five severities.

    Each AUROC has its interval and its paired drop from the clean images. The command writes robustness.md,
    robustness.json and robustness.png. The same run gives the same figures.
    """

    from fedcxr import files
    from fedcxr.cli.progress import bar
    from fedcxr.cli.spelling import require_known
    from fedcxr.evaluation.corruptions import CORRUPTIONS
    from fedcxr.evaluation.robustness import measure_robustness
    from fedcxr.report.robustness import draw_robustness, robustness_table
    from fedcxr.run.released import ReleasedModel
    from fedcxr.terminal.console import Console

    require_known("--corruption", corruptions or (), CORRUPTIONS)
    released = ReleasedModel.open(run, number)
    config = released.run.config
    with bar("corrupt and predict", "cases") as progress:
        found = measure_robustness(
            released.model,
            released.valid,
            config,
            corruptions=tuple(corruptions or CORRUPTIONS),
            progress=progress,
        )
    folder = out or released.run.root / "report"
    files.make_folder(folder)
    table = robustness_table(found, f"{config.name}, round {released.round}")
    files.write(folder / "robustness.json", found.to_json() + "\n")
    files.write(folder / "robustness.md", table.markdown() + "\n![robustness](robustness.png)\n")
    synthetic = "SYNTHETIC X-rays: " if config.data.phantom else ""
    title = f"{synthetic}{config.name}, round {released.round}: the same {found.studies:,} studies made worse"
    draw_robustness(found, folder / "robustness.png", title=title)
    if as_json:
        say_json(found.to_json())
    else:
        Console().print(table)
