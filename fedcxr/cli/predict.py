"""``fedcxr predict``: a run's model on new images, in the CheXpert competition's format."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app

if TYPE_CHECKING:
    from torch import nn

    from fedcxr.store.run_directory import RunDirectory


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    *,
    data: Annotated[Path, typer.Option(help="The data set's folder, or the one that holds it.")],
    csv: Annotated[Path, typer.Option(help="CSV of the images; its column Path is all that is read.")],
    out: Annotated[Path, typer.Option(help="CSV to write: a row a study.")],
    number: Annotated[
        int | None,
        typer.Option(
            "--round", min=0, help="The model of this round; the last by default.", show_default=False
        ),
    ] = None,
    all_labels: Annotated[
        bool, typer.Option("--all-labels", help="All 14 labels, not the competition's five.")
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Keep the decoded images in this folder; else they are thrown away.", show_default=False
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Set a key of the run's configuration: training.device=cpu."
        ),
    ] = None,
) -> None:
    """Predict with a run's released model; a study's probability is the highest of its views."""
    import numpy as np
    from rich.console import Console

    from fedcxr import config as configuration
    from fedcxr.cli.progress import bar
    from fedcxr.data.cache import prepare
    from fedcxr.data.chexpert import read_paths
    from fedcxr.data.labels import COMPETITION_LABELS, LABELS
    from fedcxr.errors import ConfigError, DataError
    from fedcxr.evaluation.competition import StudyPredictions
    from fedcxr.evaluation.inference import predict as infer
    from fedcxr.models.registry import build_model
    from fedcxr.store.run_directory import RunDirectory
    from fedcxr.update import model_file

    directory = RunDirectory.open(run)
    config = configuration.load(directory.config_path, overrides or ())
    for key, (held, _) in directory.config.differences(config).items():
        if not key.startswith(("training.", "evaluation.")):
            raise ConfigError(
                f"{key} is {held!r} in the run, and belongs to its model: it cannot be set here."
            )
    number, path = _released(directory, number)
    if not out.parent.is_dir() or out.is_dir():
        what = "it is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise DataError(f"--out {out}: {what}; name a CSV to write.")
    table = read_paths(csv, data)
    model = build_model(config.model)
    model_file.load(path, model)
    _check(directory, number, model)
    with TemporaryDirectory(prefix="fedcxr-predict-") as temporary:
        with bar("decode") as progress:
            images = prepare(table, config.data.size, cache or Path(temporary) / "cache", progress=progress)
        with bar("predict") as progress:
            rows = np.arange(len(table), dtype=np.int64)
            probabilities = infer(model, images.images, rows, config, progress=progress)
    predictions = StudyPredictions.of(table, probabilities)
    predictions.write(out, LABELS if all_labels else COMPETITION_LABELS)
    Console(highlight=False, soft_wrap=True).print(
        f"{out}: {len(predictions.studies):,} studies of {len(table):,} images, by {path.name}"
    )


def _released(run: "RunDirectory", number: int | None) -> tuple[int, Path]:
    """A round, by default the last that was finalized, and its model's file.

    Raises:
        StoreError: there is no such file; before the first finalized round there is nothing to predict with.
    """
    from fedcxr.errors import StoreError

    if number is None:
        number = run.last_round
        if number == 0:
            raise StoreError(
                f"{run.models}: no round is finalized yet; continue the run, or ask for --round 0, which is "
                "untrained."
            )
    path = run.model(number)
    if not path.is_file():
        raise StoreError(
            f"{path}: no model of round {number} (the last is {run.last_model.name}; see store.keep_models)."
        )
    return number, path


def _check(run: "RunDirectory", number: int, model: "nn.Module") -> None:
    """Hold a round's model against the digest on record.

    Raises:
        StoreError: the file is another model.
    """
    from fedcxr.errors import StoreError
    from fedcxr.update import model_file
    from fedcxr.update.layout import Layout

    found = model_file.vector_digest(Layout.of(model).flatten(model.state_dict())).hex()
    for line in run.read_metrics():
        if line["round"] == number and line["model"] != found:
            raise StoreError(
                f"{run.model(number)} has digest {found}, but round {number} released {line['model']}: "
                "`fedcxr audit` says more."
            )
