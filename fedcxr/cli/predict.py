"""``fedcxr predict``: a run's model on new images, in the CheXpert competition's format."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import Labels, LabelSet, ModelRound, Overrides, RunPath


@app.command()
def predict(
    run: RunPath,
    *,
    data: Annotated[Path, typer.Option(help="The data set's folder, or the folder that holds it.")],
    csv: Annotated[Path, typer.Option(help="The CSV of the images; only its column Path is read.")],
    out: Annotated[Path, typer.Option(help="The CSV to write, with a row for each study.")],
    number: ModelRound = None,
    labels: Labels = LabelSet.COMPETITION,
    hospital: Annotated[
        Path | None,
        typer.Option(
            help="Use the normalisation of the hospital in this directory (model.norm = 'local').",
            show_default=False,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Keep the decoded images in this folder; the default is to throw them away.",
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Predict with a run's released model; a study's probability is the highest of its views."""
    from fedcxr.api.labels import labels_of
    from fedcxr.api.prediction import predict as predict_studies
    from fedcxr.cli.progress import bars
    from fedcxr.errors import DataError, ImageError
    from fedcxr.store.run_directory import RunDirectory
    from fedcxr.terminal import say

    directory = RunDirectory.open(run)
    if not out.parent.is_dir() or out.is_dir():
        what = "it is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise DataError(f"--out {out}: {what}; name a CSV to write.")
    if not data.is_dir():
        raise ImageError(
            f"--data {data}: there is no such folder.",
            advice="Name the data set's folder, or the folder that holds it.",
        )
    with bars() as progress:
        found = predict_studies(
            directory,
            data=data,
            csv=csv,
            round_number=number,
            hospital=hospital,
            cache=cache,
            overrides=overrides or (),
            progress=progress,
        )
    found.write(out, labels.value)
    say(f"{out}: {len(found):,} studies of {found.images:,} images, by {found.model.name}")
    if untrained := [label for label in labels_of(labels.value) if label in found.never_trained]:
        say(
            f"never trained: {', '.join(untrained)}: no training image of any hospital has a known value of "
            "these labels, and their probabilities mean nothing",
            err=True,
        )
