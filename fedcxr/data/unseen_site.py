"""The table of a site that was left out of a federation: all its patients, of train and of valid."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from fedcxr import files
from fedcxr.data.chexpert import ChexpertTable
from fedcxr.data.manifest import Partition


def write_unseen(
    site: str, partition: Partition, train: ChexpertTable, valid: ChexpertTable, path: Path
) -> None:
    """Write a site's rows as a CSV with train's columns, each as it stands; its images are the data set's.

    Args:
        site: a hospital of the partition.
        partition: by site, with every site in it.
        train, valid: its tables.
        path: of the CSV; it is not touched where it says the same already.

    Raises:
        PartitionError: no such site.
        StoreError: it cannot be written.
    """
    header, trained = _read(train.csv)
    valid_header, validated = _read(valid.csv)
    order = [valid_header.index(name) for name in header]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(trained[row] for row in partition.rows(train, site).tolist())
    writer.writerows(
        [validated[row][column] for column in order] for row in partition.rows(valid, site).tolist()
    )
    if not path.is_file() or path.read_text(encoding="utf-8") != text.getvalue():
        files.write(path, text.getvalue())


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV that has been read and checked as a table."""
    reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
    header = [name.strip() for name in next(reader)]
    return header, [row for row in reader if row]
