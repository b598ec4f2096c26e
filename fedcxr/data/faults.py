"""Images of a table that cannot be read: found all at once, and named with the row that names them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fedcxr.data.chexpert import ChexpertTable
from fedcxr.data.decoding import Progress, Target, decode_all, default_workers
from fedcxr.data.single_images import NO_LINE

_SHOWN = 20  # images named in one message


def find_missing(table: ChexpertTable) -> dict[int, str]:
    """Rows whose image is not there or empty, each with the reason; the images are not opened."""
    faults: dict[int, str] = {}
    for row, path in enumerate(table.paths.tolist()):
        try:
            if not (table.root / path).stat().st_size:
                faults[row] = "the image file is empty"
        except OSError as error:
            faults[row] = (error.strerror or str(error)).lower()
    return faults


def find_unreadable(
    table: ChexpertTable, *, workers: int | None = None, progress: Progress | None = None
) -> dict[int, str]:
    """Decode every image and keep none: the rows that cannot be read, each with the reason."""
    faults: dict[int, str] = {}
    work = [(row, str(path)) for row, path in enumerate(table.paths)]
    nowhere, done = Target(None, 0, size=32), 0
    for batch in decode_all(table.root, work, nowhere, workers or default_workers(len(work))):
        faults |= {decoded.row: decoded.fault for decoded in batch if not decoded.stamp}
        done += len(batch)
        if progress:
            progress(done, len(table))
    return faults


def describe_faults(table: ChexpertTable, faults: Mapping[int, str]) -> list[str]:
    """The lines of an ImageError: one image a line, with its file, row and column."""
    rows = sorted(faults)
    lines = [_line(table, row, faults[row]) for row in rows[:_SHOWN]]
    if len(rows) > _SHOWN:
        lines.append(f"and {len(rows) - _SHOWN} more.")
    return lines if len(lines) == 1 else [f"{len(rows)} images cannot be read:", *lines]


def _line(table: ChexpertTable, row: int, fault: str) -> str:
    file = table.root / Path(str(table.paths[row]))
    if table.lines[row] == NO_LINE:
        return f"{file}: {fault}."
    return f"{file} ({table.csv}, row {table.lines[row]}, column 'Path'): {fault}."
