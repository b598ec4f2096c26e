"""The preparation of a run: its data, partition, decoded images, and the disk of each simulated hospital."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from fedcxr import files
from fedcxr.config import MAX_HOSPITALS, Config
from fedcxr.data.cache import ImageCache, prepare
from fedcxr.data.chexpert import ChexpertTable, read_table
from fedcxr.data.dataset import require_tables
from fedcxr.data.labels import LabelPolicy
from fedcxr.data.partition import Partition, make_partition
from fedcxr.data.phantom import generate
from fedcxr.errors import ConfigError
from fedcxr.evaluation.validation_set import ValidationSet
from fedcxr.models.registry import create_model
from fedcxr.report.shards import draw
from fedcxr.run.evaluator import Evaluator
from fedcxr.run.logfile import log_to
from fedcxr.store.hospital_settings import HospitalData, HospitalLimits, HospitalPrivacy, HospitalSettings
from fedcxr.store.privacy_record import PrivacyRecord
from fedcxr.store.run_directory import RunDirectory
from fedcxr.training.batch_statistics import batch_norms
from fedcxr.training.first_model import read_pretrained, weights_digest
from fedcxr.training.measure import Measurement, resolve

logger = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]  # what, done, total
_MEASURED = ("device", "precision", "memory_format")


@dataclass(frozen=True)
class Tables:
    """The tables of a run's training and validation images."""

    train: ChexpertTable
    valid: ChexpertTable

    @classmethod
    def read(cls, config: Config) -> Tables:
        """Raises TableError when a CSV is missing or not as it must be."""
        root = config.data.root_path
        return cls(
            read_table(root / config.data.train_csv, root), read_table(root / config.data.valid_csv, root)
        )


def require_means(config: Config) -> None:
    """Check that this machine has what a simulation asks for, before anything is measured or made.

    Raises:
        TableError: there are no CSVs.
        ConfigError: a key asks for what is not there.
    """
    if config.training.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("training.device = 'cuda': torch finds no CUDA device here; set it to 'cpu'.")
    for key in ("train_csv", "valid_csv"):
        if not getattr(config.data, key):
            raise ConfigError(f"data.{key} is empty: a simulation wants both tables.")
    if config.data.phantom is None:
        require_tables(config.data)


def open_or_create(
    out: Path,
    config: Config,
    progress: Progress | None = None,
    told: Callable[[Measurement], None] = lambda measurement: None,
) -> RunDirectory:
    """Open the run that this configuration began at ``out``, or create it with every measurement made.

    Until its federation is founded, a run may be begun again with another configuration.

    Args:
        out: the run's directory.
        config: what to run.
        progress: told of the measurement.
        told: of each candidate's speed, the chosen first, where they are measured now.

    Raises:
        ConfigError: ``out`` holds a run of another configuration; the keys that differ are named.
        ModelError: the model cannot be made.
    """
    run = RunDirectory(out, trusted=True)
    if run.config_path.exists():
        chosen = run.config.training
        measured = [name for name in _MEASURED if getattr(config.training, name) == "auto"]
        taken: dict[str, object] = {f"training.{name}": getattr(chosen, name) for name in measured}
        if config.federation.rare_labels is None and config.privacy.envelope == run.config.privacy.envelope:
            taken["federation.rare_labels"] = run.config.federation.rare_labels
        if config.model.pretrained == run.config.model.pretrained and not config.model.pretrained_digest:
            taken["model.pretrained_digest"] = run.config.model.pretrained_digest
        config = config.with_changes(taken)
        if config == run.config:
            return run
        if run.founded:
            differing = "; ".join(
                f"{key} is {held!r} there and {wanted!r} here"
                for key, (held, wanted) in run.config.differences(config).items()
            )
            raise ConfigError(
                f"{out} holds another run: {differing}. Choose another folder (--out), or remove it."
            )
    LabelPolicy.from_config(config.data)
    weights = read_pretrained(config.model)
    if weights is not None:
        config = config.with_changes({"model.pretrained_digest": weights_digest(weights)})
    model = create_model(config.model, seed=config.seed, weights=weights)
    if config.federation.calibrate and not batch_norms(model):
        raise ConfigError(
            f"federation.calibrate moves running statistics, and {config.model.name} with the encoder "
            f"{config.model.encoder} has none: set it to false."
        )
    hides = config.privacy.envelope == "masked" and not config.differential_privacy.on
    if hides and config.federation.rare_labels is None:
        config = config.with_changes({"federation.rare_labels": "withhold"})
    resolved, measurements = resolve(config, progress=progress)
    run.forget()
    run = RunDirectory.create(out, resolved)
    with log_to(run.log_path):
        for measurement in measurements:
            logger.info("measured %s", measurement)
            told(measurement)
    return run


def prepare_simulation(run: RunDirectory, progress: Progress) -> Partition:
    """Make the data ready and lay out one directory for each simulated hospital.

    What is there already is taken as it is, so that a second call is quick.

    Raises:
        DataError: the data are not as they must be.
    """
    config = run.config
    if config.data.phantom is not None:
        generate(
            config.data.root_path,
            config.data.phantom,
            config.seed,
            progress=lambda done, total: progress("phantom images", done, total),
        )
    tables = Tables.read(config)
    if run.partition_path.exists():
        partition = Partition.read(run.partition_path)
    else:
        partition = make_partition(
            tables.train, tables.valid, config.partition, config.seed, config.data.root_path
        )
        _check_size(partition, config)
        partition.write(run.partition_path)
    _decode(run, "train", tables.train, progress)
    _decode(run, "valid", tables.valid, progress)
    for index, name in enumerate(partition.names):
        _write_hospital(run, index, name)
    return partition


def draw_partition(run: RunDirectory) -> None:
    """Draw which hospital holds which patients, unless that is drawn, or nobody here dealt them out.

    Raises:
        DataError: the tables are not those any more that were dealt out.
        StoreError: it cannot be written.
    """
    picture = run.root / "partition.png"
    if picture.exists() or not run.partition_path.exists():
        return
    config, tables = run.config, Tables.read(run.config)
    draw(
        Partition.read(run.partition_path),
        tables.train,
        tables.valid,
        picture,
        blank=config.data.blank,
        synthetic=config.data.phantom is not None,
    )


def _check_size(partition: Partition, config: Config) -> None:
    """Raise ConfigError for a federation that could not open, or not finish, a round."""
    count, needed = len(partition.names), config.federation.min_hospitals
    if count < needed:
        raise ConfigError(f"federation.min_hospitals = {needed}: the partition has {count} hospitals.")
    if config.validation.policy == "committee" and count < config.validation.committee:
        raise ConfigError(
            f"validation.committee = {config.validation.committee} validators are drawn from the hospitals, "
            f"and the partition has {count}: allowed are 1, 4, 7, 10 or 13, and no more than hospitals."
        )
    if count > MAX_HOSPITALS:
        raise ConfigError(f"the partition has {count} hospitals: a round takes {MAX_HOSPITALS} at most.")


def make_evaluator(run: RunDirectory) -> Evaluator | None:
    """Make the evaluator of released models; None without a validation set, as where no data are central."""
    config = run.config
    root = config.data.root_path
    if not config.data.valid_csv or not (root / config.data.valid_csv).exists():
        logger.warning("no validation set at %s: released models are not evaluated", root)
        return None
    table = read_table(root / config.data.valid_csv, root)
    images = prepare(table, config.data.size, _cache(run, "valid")).images
    hospitals, disks = {}, {}
    if run.partition_path.exists():
        partition = Partition.read(run.partition_path)
        if partition.unseen:
            held = partition.held(table)
            table, images = table.take(held), images[held]
        hospitals = {name: partition.rows(table, name) for name in partition.names}
        disks = {name: run.hospital(index) for index, name in enumerate(partition.names)}
    elif not config.model.normalisation.one_model:
        logger.warning(
            "model.norm = '%s': released models have no normalisation of their own, and the hospitals' is "
            "not here: they are not evaluated (fedcxr predict --hospital, at a hospital)",
            config.model.norm,
        )
        return None
    valid = ValidationSet(images, table.labels, table.study_codes, table.patient_codes, hospitals)
    return Evaluator(config, table, valid, disks)


def _cache(run: RunDirectory, split: str) -> Path:
    return run.config.data.cache_path(run.cache, split).absolute()


def _decode(run: RunDirectory, split: str, table: ChexpertTable, progress: Progress) -> ImageCache:
    return prepare(
        table,
        run.config.data.size,
        _cache(run, split),
        progress=lambda done, total: progress(f"decoding {split} images", done, total),
    )


def _write_hospital(run: RunDirectory, index: int, name: str) -> None:
    config = run.config
    path = run.hospital(index) / "hospital.toml"
    before = HospitalSettings.load(path) if path.exists() else None
    spends, privacy = config.differential_privacy, None if before is None else before.privacy
    if privacy is None and spends.epsilon is not None:
        privacy = HospitalPrivacy(record="privacy.json", epsilon=spends.epsilon, delta=spends.delta)
        PrivacyRecord.begin(path.with_name(privacy.record))
    settings = HospitalSettings(
        limits=HospitalLimits() if before is None else before.limits,  # somebody may have written them in
        privacy=privacy,
        name=name,
        ledger="off" if config.ledger.backend == "off" else str(run.endpoint_path.absolute()),
        data=HospitalData(
            root=str(config.data.root_path.absolute()),
            csv=config.data.train_csv,
            cache=str(_cache(run, "train")),
            partition=str(run.partition_path.absolute()),
        ),
    )
    files.write(path, settings.to_toml())
