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
    """Write a site's rows as a CSV, each as it stands; its images are the data set's.

    It has the columns that both tables have.

    Args:
        site: a hospital of the partition.
        partition: by site, with every site in it.
        train, valid: its tables.
        path: of the CSV; it is not touched where it says the same already.

    Raises:
        PartitionError: no such site.
        StoreError: it cannot be written.
    """
    first, second = _read(train.csv), _read(valid.csv)
    header = [name for name in first[0] if name in second[0]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for table, (names, rows) in ((train, first), (valid, second)):
        columns = [names.index(name) for name in header]
        for row in partition.rows(table, site).tolist():
            writer.writerow([rows[row][column] for column in columns])
    if not path.is_file() or path.read_text(encoding="utf-8") != text.getvalue():
        files.write(path, text.getvalue())


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV that has been read and checked as a table."""
    reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
    header = [name.strip() for name in next(reader)]
    return header, [row for row in reader if row]
