"""A hospital's images and labels, ready for training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clients.disk import HospitalDisk
from fedcxr.config import Config
from fedcxr.data.cache import prepare
from fedcxr.data.chexpert import ChexpertTable, read_table
from fedcxr.data.examples import Examples
from fedcxr.data.labelled import labelled
from fedcxr.data.labels import LabelPolicy
from fedcxr.data.partition import Partition
from fedcxr.errors import DataError
from fedcxr.seeds import derive_seed


@dataclass(frozen=True)
class Shard:
    """A hospital's images: those that it trains on, and those that it judges others' updates on."""

    training: Examples
    held_back: Examples


def load_shard(disk: HospitalDisk, config: Config) -> Shard:
    """This hospital's examples at the federation's resolution and under its label policy.

    Nothing is held back where nothing is judged.

    Raises:
        DataError: the CSV, an image or the partition is not as it must be, or there is nothing to train on.
    """
    settings, data = disk.settings, config.data
    root = Path(settings.data.root)
    csv = root / settings.data.csv
    table = _table(csv, root, csv.stat().st_mtime_ns if csv.exists() else 0)
    name = settings.name
    if settings.data.partition:
        partition = _partition(settings.data.partition, Path(settings.data.partition).stat().st_mtime_ns)
        rows = partition.rows(table, settings.data.shard or name)
    else:
        rows = np.arange(len(table), dtype=np.int64)
    held = np.zeros(len(rows), np.bool_)
    if config.validation.policy == "committee":
        held = hold_back(table.patients[rows], config.validation.fold, derive_seed(config.seed, "fold", name))
    if held.all():
        raise DataError(f"{csv}: hospital {name!r} has no images to train on.")
    cache = prepare(table, data.size, disk.cache, rows=rows)
    targets, mask = LabelPolicy.from_config(data).targets(
        table.labels[rows], derive_seed(config.seed, "labels", name)
    )
    mask &= labelled(table.patients[rows], data.labelled, config.seed, np.any(mask, axis=1))[:, None]
    patients, studies = table.patient_codes[rows], table.study_codes[rows]
    return Shard(
        *(
            Examples(cache.images, rows[w], targets[w], mask[w], patients[w], studies[w])
            for w in (~held, held)
        )
    )


def hold_back(patients: NDArray[np.str_], share: float, seed: int) -> NDArray[np.bool_]:
    """Which images are held back: those of a share of the patients, at least one and never all.

    Args:
        patients: (n,), of each image.
        share: of the patients, 0 to 1.
        seed: of the draw.

    Returns:
        bool (n,); none where there is one patient only.
    """
    known = np.unique(patients)
    if len(known) < 2:
        return np.zeros(len(patients), np.bool_)
    count = min(max(round(share * len(known)), 1), len(known) - 1)
    chosen = np.random.default_rng(seed).permutation(known)[:count]
    return np.isin(patients, chosen)


@lru_cache(maxsize=4)  # simulated hospitals share one CSV; a large one takes a second to read
def _table(csv: Path, root: Path, modified: int) -> ChexpertTable:
    del modified  # part of the key: a changed file is read again
    return read_table(csv, root)


@lru_cache(maxsize=4)
def _partition(path: str, modified: int) -> Partition:
    del modified
    return Partition.read(Path(path))
