"""``fedcxr explain``: where a run's model looks, as pictures and as scores."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import AsJson, ModelRound, RunPath
from fedcxr.terminal import say_json


@app.command()
def explain(
    run: RunPath,
    *,
    number: ModelRound = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", help="Explain this label. It may be given many times.", show_default=False),
    ] = None,
    images: Annotated[
        int,
        typer.Option(
            min=1,
            help="Explain at most this many positive images of a label; each takes seconds without a GPU.",
        ),
    ] = 50,
    bootstrap: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Draw this many resamples of patients; the default is the run's evaluation.bootstrap.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; the default is RUN/report.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw and score where the model looks on validation images: by Grad-CAM and by its own attention.

    Maps are scored on any images by deletion and insertion curves, and on phantoms also by their masks:
    pointing-game hit rate, coverage of the lesion, the map's share in it. Each score stands beside that of
    the same method's maps of other patients, which is what can be known without a look at the image, and on
    phantoms beside that of the lesions' usual place. Of a dual stream only the encoder is explained. Without
    --label the command explains every label that has a mask on phantoms, else the competition's five. It
    writes overlays.png, deletion.png, explain.md, explain.json, and finding by finding explain.csv.
    """
    import numpy as np

    from fedcxr import files
    from fedcxr.cli.spelling import require_known
    from fedcxr.data.labels import COMPETITION_LABELS, LABELS
    from fedcxr.errors import ConfigError
    from fedcxr.evaluation.explanation import scores as explanation
    from fedcxr.evaluation.explanation.case_scores import CaseScores
    from fedcxr.evaluation.explanation.saliency import positions
    from fedcxr.report.deletion import draw_deletion
    from fedcxr.report.explanation import faithfulness_table, grid_note, localisation_table
    from fedcxr.report.overlays import draw_overlays
    from fedcxr.run.released import ReleasedModel
    from fedcxr.terminal.console import Console

    require_known("--label", labels or (), LABELS)
    released = ReleasedModel.open(run, number)
    config = released.run.config
    if bootstrap is not None:
        config = config.with_changes({"evaluation.bootstrap": bootstrap})
    if not config.model.normalisation.one_model:
        raise ConfigError(
            f"model.norm = '{config.model.norm}': each hospital has a model of its own, and none is released."
        )
    everything = tuple(label for label in LABELS if label != "No Finding")
    wanted = tuple(labels) if labels else (everything if config.data.phantom else COMPETITION_LABELS)
    cases = explanation.choose_cases(released.table, wanted, images, config.seed)
    masks = explanation.read_masks(released.table, cases)
    own = released.valid.images[cases.rows]
    found, maps, by_case = explanation.explain(released.model, own, cases, masks, config)
    folder = out or released.run.root / "report"
    files.make_folder(folder)
    synthetic = "SYNTHETIC X-rays: " if config.data.phantom else ""
    title = f"{synthetic}{config.name}, round {released.round}: where the model looks"
    draw_overlays(own, cases, maps, masks, folder / "overlays.png", title=title)
    draw_deletion(found, folder / "deletion.png", title=title)
    note = grid_note(*positions(released.model, config.data.size))
    both = localisation_table(found, note), faithfulness_table(found, note)
    tables = [table for table in both if table is not None]
    page = "\n".join(table.markdown() for table in tables)
    pictures = "![curves](deletion.png)\n\n![overlays](overlays.png)"
    files.write(folder / "explain.md", f"# {title}\n\n{page}\n{pictures}\n")
    files.write(folder / "explain.json", found.to_json() + "\n")
    named = np.array(LABELS)[cases.labels]
    each = CaseScores.of(released.table.paths[cases.rows], named, cases.patients, by_case)
    files.write(folder / "explain.csv", each.to_csv())
    if as_json:
        say_json(found.to_json())
        return
    console = Console()
    for table in tables:
        console.print(table)
    console.say(f"{folder / 'overlays.png'}: {len(cases):,} findings")
