"""A hospital's images and labels, ready for training."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from clients.disk import HospitalDisk
from fedcxr.config import Data
from fedcxr.data.cache import prepare
from fedcxr.data.chexpert import ChexpertTable, read_table
from fedcxr.data.examples import Examples
from fedcxr.data.labels import LabelPolicy
from fedcxr.data.partition import Partition
from fedcxr.errors import DataError
from fedcxr.seeds import derive_seed


def load_shard(disk: HospitalDisk, data: Data, seed: int) -> Examples:
    """This hospital's training examples at the federation's resolution and under its label policy.

    Raises:
        DataError: the CSV, an image or the partition is not as it must be, or the shard is empty.
    """
    settings = disk.settings
    root = Path(settings.data.root)
    csv = root / settings.data.csv
    table = _table(csv, root, csv.stat().st_mtime_ns if csv.exists() else 0)
    if settings.data.partition:
        partition = _partition(settings.data.partition, Path(settings.data.partition).stat().st_mtime_ns)
        rows = partition.rows(table, settings.data.shard or settings.name)
    else:
        rows = np.arange(len(table), dtype=np.int64)
    if len(rows) == 0:
        raise DataError(f"{csv}: hospital {settings.name!r} has no images to train on.")
    cache = prepare(table, data.size, disk.cache)
    targets, mask = LabelPolicy.from_config(data).targets(
        table.labels[rows], derive_seed(seed, "labels", settings.name)
    )
    return Examples(cache.images, rows, targets, mask)


@lru_cache(maxsize=4)  # simulated hospitals share one CSV; a large one takes a second to read
def _table(csv: Path, root: Path, modified: int) -> ChexpertTable:
    del modified  # part of the key: a changed file is read again
    return read_table(csv, root)


@lru_cache(maxsize=4)
def _partition(path: str, modified: int) -> Partition:
    del modified
    return Partition.read(Path(path))
