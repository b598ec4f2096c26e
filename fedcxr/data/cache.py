"""Images decoded once, at training resolution, into a memory map that all hospitals of a machine share.

:func:`prepare` makes a folder fit its arguments. A row stands when the stamp of its file (size and
modification time) is the recorded one, so a second call decodes what is new, what has changed, and what a
kill left undone. When the list of paths, the size or the geometry differs, all is decoded again. A CSV that
changed in its labels only costs nothing. :meth:`ImageCache.open` gives a complete cache or says why not.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.cache_folder import CacheFolder, Source
from fedcxr.data.chexpert import ChexpertTable
from fedcxr.data.decoding import Progress, Target, decode_all, default_workers
from fedcxr.data.faults import describe_faults
from fedcxr.data.radiograph import Stamp
from fedcxr.errors import CacheError, ImageError

_RECORD_EVERY = 5.0  # seconds: how much work a kill may lose

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ImageCache:
    """A complete cache.

    Attributes:
        directory: its folder.
        images: uint8 (n, size, size), a read-only memory map in the order of the table's rows.
        source: what it was made from.
    """

    directory: Path
    images: NDArray[np.uint8]
    source: Source

    @classmethod
    def open(cls, directory: Path, rows: NDArray[np.int64] | None = None) -> ImageCache:
        """Open a cache that :func:`prepare` has completed.

        Args:
            directory: the cache's folder.
            rows: that are needed, int64 (k,); None for all.

        Raises:
            CacheError: there is none, it is damaged, or some images are not decoded.
        """
        folder = CacheFolder(directory)
        source = folder.read_source()
        if source is None:
            raise CacheError(f"{directory}: no image cache is there.")
        stamps = folder.read_stamps(source)
        needed = stamps if rows is None else stamps[rows]
        if missing := int((needed[:, 0] < 0).sum()):
            raise CacheError(f"{directory}: {missing} of {len(needed)} images are not decoded.")
        return cls(directory, folder.map_images(source), source)

    def check(self, table: ChexpertTable, size: int) -> None:
        """Check that the cache holds this table's images at this size; the image files are not looked at.

        Raises:
            CacheError: it does not.
        """
        if complaint := self.source.complaint(Source.of(table, size)):
            raise CacheError(f"{self.directory}: not the cache of {table.csv}: {complaint}.")


def prepare(
    table: ChexpertTable,
    size: int,
    directory: Path,
    *,
    rows: NDArray[np.int64] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> ImageCache:
    """Decode what is not decoded yet; wait while another process or thread does so in the same folder.

    Args:
        table: the rows.
        size: pixels a side.
        directory: the cache's folder; made when it is not there.
        rows: that are needed, int64 (k,); None for all. Of the others no file is looked at.
        workers: processes; None for as many as are worth starting.
        progress: called now and then, and at the end.

    Raises:
        ImageError: images that cannot be read, each with its file, row and column. All others are decoded
            and kept.
        CacheError: the folder holds something else or cannot be written, or a worker was killed.
    """
    folder = CacheFolder(directory)
    with folder.locked():
        stamps = _adopt(folder, Source.of(table, size))
        rows = np.arange(len(table)) if rows is None else rows
        todo = _outdated(table, stamps, rows)
        if progress:
            progress(len(rows) - len(todo), len(rows))
        faults = (
            _decode(folder, table, size, stamps, todo, total=len(rows), workers=workers, progress=progress)
            if len(todo)
            else {}
        )
        if faults:
            raise ImageError(*describe_faults(table, faults))
        return ImageCache.open(directory, rows)


def _adopt(folder: CacheFolder, wanted: Source) -> NDArray[np.int64]:
    """The stamps of pixels that the folder has of ``wanted``, or those of a new beginning."""
    try:
        present = folder.read_source()
        complaint = present.complaint(wanted) if present else ""
        if present and not complaint:
            stamps = folder.read_stamps(present)
            folder.map_images(present)
            if present != wanted:
                folder.write_source(wanted)  # the CSV changed, its paths did not
            return stamps
    except CacheError as error:
        complaint = str(error)
    if complaint:
        logger.warning("%s: all images are decoded again: %s", folder.path, complaint)
    return folder.begin(wanted)


def _outdated(table: ChexpertTable, stamps: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the rows, int64 (k,), whose file is not the one that was decoded, or is not there."""
    root, decoded = f"{table.root}/", stamps[rows]
    present = np.full_like(decoded, -1)
    for place, path in enumerate(table.paths[rows].tolist()):
        if decoded[place, 0] >= 0:
            try:
                stamp = Stamp.of(Path(root + path).stat())
            except OSError:
                continue
            present[place] = stamp.size, stamp.modified
    outdated: NDArray[np.int64] = rows[(decoded[:, 0] < 0) | (present != decoded).any(axis=1)]
    return outdated


def _decode(
    folder: CacheFolder,
    table: ChexpertTable,
    size: int,
    stamps: NDArray[np.int64],
    todo: NDArray[np.int64],
    *,
    total: int,
    workers: int | None,
    progress: Progress | None,
) -> dict[int, str]:
    """Decode rows ``todo``, record their ``stamps``, and return the faults by row."""
    faults: dict[int, str] = {}
    stamps[todo] = -1
    folder.write_stamps(stamps)  # before their pixels change
    offset = folder.images.stat().st_size - stamps.shape[0] * size**2
    work = [(int(row), str(table.paths[row])) for row in todo]
    done, recorded = total - len(todo), time.monotonic()
    target = Target(folder.images, offset, size)
    try:
        for batch in decode_all(table.root, work, target, workers or default_workers(len(work))):
            for decoded in batch:
                if decoded.stamp:
                    stamps[decoded.row] = decoded.stamp.size, decoded.stamp.modified
                else:
                    faults[decoded.row] = decoded.fault
            done += len(batch)
            if progress:
                progress(done, total)
            if time.monotonic() - recorded > _RECORD_EVERY:
                folder.write_stamps(stamps)
                recorded = time.monotonic()
    finally:
        folder.write_stamps(stamps)
    return faults
