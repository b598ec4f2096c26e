"""``fedcxr predict``: a run's model on new images, in the CheXpert competition's format."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app

if TYPE_CHECKING:
    from fedcxr.config import Config
    from fedcxr.models.network import Network
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
    hospital: Annotated[
        Path | None,
        typer.Option(
            help="The directory of a hospital, whose own normalisation is used (model.norm = 'local').",
            show_default=False,
        ),
    ] = None,
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
    from fedcxr.evaluation.competition.predictions import StudyPredictions
    from fedcxr.evaluation.inference import predict as infer
    from fedcxr.models.registry import build_model
    from fedcxr.run.released import check_record
    from fedcxr.store.run_directory import RunDirectory
    from fedcxr.training.shared_tensors import load_released

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
    layout = load_released(path, model, config, frozen=directory.frozen_path)
    check_record(directory, number, layout.flatten(model.state_dict()), layout)
    _normalise_as(hospital, model, config)
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


def _normalise_as(hospital: Path | None, model: "Network", config: "Config") -> None:
    """Give a model without a normalisation of its own that of a hospital.

    Raises:
        ConfigError: one is missing, or there is nothing of its own that a hospital could have.
        StoreError: the hospital has kept none.
    """
    from fedcxr.errors import ConfigError, StoreError
    from fedcxr.store.hospital_state import HospitalState
    from fedcxr.training.shared_tensors import load_local

    if config.model.normalisation.one_model == (hospital is not None):
        raise ConfigError(
            f"model.norm = '{config.model.norm}': each hospital has its own normalisation, and the released "
            "model none; say whose with --hospital DIRECTORY (RUN/hospitals/0000 in a simulation)."
            if hospital is None
            else f"--hospital: the run has model.norm = '{config.model.norm}', one normalisation for all."
        )
    if hospital is not None:
        kept = HospitalState.of_disk(hospital).last()
        if not kept:
            raise StoreError(f"{hospital}: this hospital has trained in no round yet.")
        load_local(model, kept)
