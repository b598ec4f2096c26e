"""The files of an image cache, and how they survive a kill or a power cut.

::

    images.npy     uint8 (n, size, size), in the order of the table's rows; opened as a memory map
    stamps.npy     int64 (n, 2): size and modification time of the file behind each row; -1 where not decoded
    cache.json     what it was made from
    lock           held by the process that prepares

A stamp is recorded after its pixels are on the disk, never before; stamps and ``cache.json`` are replaced
whole, by a rename. So whatever moment ends the process, what the stamps say is true.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr import files
from fedcxr.data.chexpert import ChexpertTable
from fedcxr.data.radiograph import GEOMETRY
from fedcxr.errors import CacheError, UnwritableError

IMAGES, STAMPS, SOURCE, LOCK = "images.npy", "stamps.npy", "cache.json", "lock"
logger = logging.getLogger(__name__)

_OURS = {name + suffix for name in (IMAGES, STAMPS, SOURCE, LOCK) for suffix in ("", files.TEMPORARY)}


@dataclass(frozen=True)
class Source:
    """What a cache was made from.

    Attributes:
        images: how many.
        size: pixels a side.
        geometry: how an image becomes a square, :data:`~fedcxr.data.radiograph.GEOMETRY`.
        paths: SHA-256, in hex, of the table's root and paths in their order; with ``size`` and ``geometry``
            it decides which pixels stand where.
        csv: the table's digest.
    """

    images: int
    size: int
    geometry: str
    paths: str
    csv: str

    @classmethod
    def of(cls, table: ChexpertTable, size: int) -> Source:
        listing = "\n".join((str(table.root.resolve()), *table.paths.tolist()))
        digest = hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()
        return cls(len(table), size, GEOMETRY, digest, table.digest)

    def complaint(self, other: Source) -> str:
        """Why pixels made from ``self`` are not those of ``other``; empty where they are."""
        if self.size != other.size:
            return f"its images have {self.size} pixels a side, not {other.size}"
        if self.geometry != other.geometry:
            return f"its images were cut otherwise ({self.geometry})"
        if (self.images, self.paths) != (other.images, other.paths):
            return "it was made from other images, or from the same in another order"
        return ""


@dataclass(frozen=True)
class CacheFolder:
    """The folder at ``path``; every method that reads raises :class:`CacheError` for what is damaged."""

    path: Path

    @property
    def images(self) -> Path:
        return self.path / IMAGES

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and hold it alone; the system lets go of it when the process ends, however it ends.

        Hospitals that share a machine ask for the same cache at once: one prepares, the others wait and find
        it done.

        Raises:
            CacheError: it holds other things, or cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            strangers = {entry.name for entry in self.path.iterdir()} - _OURS
            file = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise CacheError(f"{self.path}: cannot be an image cache: {error.strerror}.") from None
        try:
            if strangers and not (self.path / SOURCE).is_file():
                raise CacheError(
                    f"{self.path}: no image cache, but holds {min(strangers)}; choose a new folder."
                )
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info("%s: another process prepares this cache; waiting for it", self.path)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    def read_source(self) -> Source | None:
        """What the pixels were made from; None where there is no cache."""
        try:
            return Source(**json.loads((self.path / SOURCE).read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError):
            raise CacheError(f"{self.path / SOURCE}: damaged; delete the folder and prepare again.") from None

    def write_source(self, source: Source) -> None:
        files.write(self.path / SOURCE, json.dumps(asdict(source), indent=1).encode())

    def read_stamps(self, source: Source) -> NDArray[np.int64]:
        """int64 (n, 2): size and modification time of the decoded files; -1 where not decoded."""
        try:
            stamps: NDArray[np.int64] = np.load(self.path / STAMPS, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise CacheError(f"{self.path / STAMPS}: missing or damaged.") from None
        if stamps.shape != (source.images, 2) or stamps.dtype != np.int64:
            raise CacheError(f"{self.path / STAMPS}: of another cache.")
        return stamps

    def write_stamps(self, stamps: NDArray[np.int64]) -> None:
        """Record stamps, once the pixels that they speak of are on the disk."""
        buffer = io.BytesIO()
        np.save(buffer, stamps)
        if self.images.is_file():
            files.sync(self.images)
        files.write(self.path / STAMPS, buffer.getvalue())

    def map_images(self, source: Source) -> NDArray[np.uint8]:
        """The pixels, uint8 (n, size, size), as a read-only memory map."""
        try:
            images: NDArray[np.uint8] = np.load(self.images, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise CacheError(f"{self.images}: missing, cut short or damaged.") from None
        if images.shape != (source.images, source.size, source.size) or images.dtype != np.uint8:
            raise CacheError(f"{self.images}: of another cache.")
        return images

    def begin(self, source: Source) -> NDArray[np.int64]:
        """Start anew: a file of pixels for ``source``, and stamps that say that none is decoded.

        The old file of pixels is replaced, not overwritten: whoever has it mapped keeps it. The stamps go
        first, so that a kill in between leaves nothing that claims to be decoded.

        Raises:
            UnwritableError: the disk has too little room.
        """
        free, needed = shutil.disk_usage(self.path).free, source.images * source.size**2
        if free < needed:
            raise UnwritableError(
                f"{self.path}: No space left on device: {needed / 1e6:,.1f} MB are needed, "
                f"{free / 1e6:,.1f} MB are free."
            )
        stamps = np.full((source.images, 2), -1, dtype=np.int64)
        self.write_stamps(stamps)
        fresh = self.path / f"{IMAGES}{files.TEMPORARY}"
        shape = (source.images, source.size, source.size)
        pixels = np.lib.format.open_memmap(fresh, mode="w+", dtype=np.uint8, shape=shape)
        del pixels  # its header is written; the rest is a hole in the file until images come
        files.sync(fresh)
        fresh.replace(self.images)
        files.sync(self.path)
        self.write_source(source)
        return stamps
