"""Leaving a site out: the tables of all other sites, and that of the one that no training sees.

Of each site, all patients are unseen: those of train and of valid. The CSVs keep their rows as they stand, so
that the data set's own folder serves them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedcxr import files
from fedcxr.data.chexpert import ChexpertTable
from fedcxr.data.manifest import Partition
from fedcxr.errors import PartitionError


@dataclass(frozen=True)
class SiteTables:
    """Three CSVs for one site left out.

    Attributes:
        train, valid: of all other sites.
        unseen: train and valid rows of the site.
    """

    train: Path
    valid: Path
    unseen: Path


def leave_out(
    site: str, partition: Partition, train: ChexpertTable, valid: ChexpertTable, folder: Path
) -> SiteTables:
    """Write the tables that leave ``site`` out; files that say the same already are not touched.

    Args:
        site: a hospital of the partition.
        partition: by site, of both tables.
        train, valid: the whole tables.
        folder: where the CSVs go; made if need be.

    Raises:
        PartitionError: no such site, or it is the only one.
        StoreError: a CSV cannot be written.
    """
    if len(partition.names) < 2:
        raise PartitionError(f"{site!r} is the only site: without it nothing is left to train on.")
    rows = [partition.rows(table, site) for table in (train, valid)]
    rest = [np.setdiff1d(np.arange(len(table)), own) for table, own in zip((train, valid), rows, strict=True)]
    made = SiteTables(folder / "train.csv", folder / "valid.csv", folder / "unseen.csv")
    files.make_folder(folder)
    header, train_rows = _read(train.csv)
    valid_header, valid_rows = _read(valid.csv)
    order = [valid_header.index(name) for name in header]
    valid_rows = [[row[column] for column in order] for row in valid_rows]
    _write(made.train, header, [train_rows[row] for row in rest[0].tolist()])
    _write(made.valid, header, [valid_rows[row] for row in rest[1].tolist()])
    unseen = [train_rows[row] for row in rows[0].tolist()] + [valid_rows[row] for row in rows[1].tolist()]
    _write(made.unseen, header, unseen)
    return made


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV that has been read and checked as a table."""
    reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
    header = [name.strip() for name in next(reader)]
    return header, [row for row in reader if row]


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    if not path.is_file() or path.read_text(encoding="utf-8") != text.getvalue():
        files.write(path, text.getvalue())
