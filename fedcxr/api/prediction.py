"""A run's released model on new images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from fedcxr import config as configuration
from fedcxr.api.labels import LabelSet, labels_of
from fedcxr.config import Config
from fedcxr.data.cache import prepare
from fedcxr.data.chexpert import ChexpertTable, read_paths
from fedcxr.data.labels import LABELS
from fedcxr.data.single_images import is_image, table_of_images
from fedcxr.errors import ConfigError, StoreError
from fedcxr.evaluation.competition.predictions import StudyPredictions
from fedcxr.evaluation.inference import predict as infer
from fedcxr.models.network import Network
from fedcxr.models.registry import build_model
from fedcxr.report.tables import count
from fedcxr.run.released import check_record
from fedcxr.store.hospital_state import HospitalState
from fedcxr.store.run_directory import RunDirectory
from fedcxr.store.training_labels import never_trained
from fedcxr.training.shared_tensors import load_local, load_released

if TYPE_CHECKING:
    from pandas import DataFrame

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """Probabilities of the 14 labels, study by study.

    Attributes:
        studies: the studies with their probabilities, each the highest of the study's views; where images
            were given singly, each is a row of its own.
        images: how many images were looked at.
        round: the round whose model predicted.
        model: that model's file.
        never_trained: labels of which no hospital knew a value in training, so that their probabilities mean
            nothing; empty, too, where the training CSV is not on this machine.
    """

    studies: StudyPredictions
    images: int
    round: int
    model: Path
    never_trained: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many rows there are: studies, or images that were given singly."""
        return len(self.studies.studies)

    def __repr__(self) -> str:
        """How many rows, labels and images there are, and whose model predicted them."""
        untrained = f", never trained: {', '.join(self.never_trained)}" if self.never_trained else ""
        return (
            f"Predictions({len(self):,} rows, {len(LABELS)} labels, {count(self.images, 'image')}, "
            f"round {self.round}{untrained})"
        )

    def frame(self, labels: LabelSet = "all") -> DataFrame:
        """The probabilities as a table: a row a study (or an image), which is the index; a column a label.

        Raises:
            ConfigError: there is no such set of labels.
        """
        from pandas import DataFrame, Index

        index = Index(self.studies.studies, name=self.studies.column)
        return DataFrame(self.studies.probabilities, index, columns=LABELS)[list(labels_of(labels))]

    def write(self, path: str | Path, labels: LabelSet = "competition") -> None:
        """Write the CSV that :func:`fedcxr.evaluate` and CheXpert's competition read.

        Raises:
            ConfigError: there is no such set of labels.
            StoreError: the file cannot be written.
        """
        self.studies.write(Path(path), labels_of(labels))


def predict(
    run: RunDirectory,
    *,
    data: Path | None,
    csv: Path | Sequence[Path],
    round_number: int | None = None,
    hospital: Path | None = None,
    cache: Path | None = None,
    overrides: Iterable[str] | Mapping[str, object] = (),
    progress: Progress | None = None,
) -> Predictions:
    """Predict with a run's released model; a study's probability is the highest of its views.

    Args:
        run: the run.
        data: the data set's folder, or the one that holds it; None where images are given singly.
        csv: of the images, of which the column Path alone is read; or an image, or several.
        round_number: of the model; None for the last round.
        hospital: the directory of a hospital whose own normalisation is used (``model.norm = "local"``).
        cache: a folder that keeps the decoded images; None throws them away.
        overrides: keys of ``training`` and ``evaluation`` that differ from the run's, as
            ``training.device=cpu``.
        progress: told of ``decode`` and ``predict``, in images.

    Raises:
        StoreError: there is no such model, or its file is not the one on record.
        ConfigError: a key belongs to the model and cannot be set here, ``hospital`` is missing or of no use,
            or ``data`` is missing.
        DataError: the CSV or an image cannot be read.
    """
    config = configuration.load(run.config_path, overrides)
    for key, (held, _) in run.config.differences(config).items():
        if not key.startswith(("training.", "evaluation.")):
            raise ConfigError(
                f"{key} is {held!r} in the run, and belongs to its model: it cannot be set here."
            )
    number, path = _released(run, round_number)
    images = [csv] if isinstance(csv, Path) and is_image(csv) else csv
    table = _table(images, data)
    model = build_model(config.model)
    layout = load_released(path, model, config, frozen=run.frozen_path)
    check_record(run, number, layout.flatten(model.state_dict()), layout)
    _normalise_as(hospital, model, config)
    with TemporaryDirectory(prefix="fedcxr-predict-") as temporary:
        decoded = prepare(
            table, config.data.size, cache or Path(temporary) / "cache", progress=_step(progress, "decode")
        )
        rows = np.arange(len(table), dtype=np.int64)
        probabilities = infer(model, decoded.images, rows, config, progress=_step(progress, "predict"))
    if isinstance(images, Path):
        rows_of_studies = StudyPredictions.of(table, probabilities)
    else:
        rows_of_studies = StudyPredictions(tuple(map(str, images)), probabilities, "Path")
    return Predictions(rows_of_studies, len(table), number, path, never_trained(run))


def _table(images: Path | Sequence[Path], data: Path | None) -> ChexpertTable:
    """The table of a CSV, or of images given singly.

    Raises:
        ConfigError: a CSV is given without the folder of its images.
        DataError: the CSV cannot be read, or an image is not there.
    """
    if not isinstance(images, Path):
        return table_of_images(images, data)
    if data is None:
        raise ConfigError(f"{images}: a CSV needs the folder of its images, data.")
    return read_paths(images, data)


def _step(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(what, done, total)


def _released(run: RunDirectory, number: int | None) -> tuple[int, Path]:
    """A round, by default the last that was finalized, and its model's file.

    Raises:
        StoreError: there is no such file; before the first finalized round there is nothing to predict with.
    """
    if number is None:
        number = run.last_round
        if number == 0:
            raise StoreError(
                f"{run.models}: no round is finalized yet; continue the run, or ask for round 0, which is "
                "untrained."
            )
    path = run.model(number)
    if not path.is_file():
        raise StoreError(
            f"{path}: no model of round {number} (the last is {run.last_model.name}; see store.keep_models)."
        )
    return number, path


def _normalise_as(hospital: Path | None, model: Network, config: Config) -> None:
    """Give a model without a normalisation of its own that of a hospital.

    Raises:
        ConfigError: one is missing, or there is nothing of its own that a hospital could have.
        StoreError: the hospital has kept none.
    """
    if config.model.normalisation.one_model == (hospital is not None):
        raise ConfigError(
            f"model.norm = '{config.model.norm}': each hospital has its own normalisation, and the released "
            "model none; say whose (hospital, --hospital): its directory, RUN/hospitals/0000 in a "
            "simulation."
            if hospital is None
            else f"hospital (--hospital) is of no use: the run has model.norm = '{config.model.norm}', one "
            "normalisation for all."
        )
    if hospital is not None:
        kept = HospitalState.of_disk(hospital).last()
        if not kept:
            raise StoreError(f"{hospital}: this hospital has trained in no round yet.")
        load_local(model, kept)
