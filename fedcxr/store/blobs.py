"""Content-addressed blobs on anything that fsspec opens: a blob's name is its Merkle root."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray

from fedcxr.errors import BlobCorruptError, BlobMissingError, StoreError
from fedcxr.update import merkle


class BlobStore:
    """Blobs under ``<url>/<first two hex digits>/<root in hex>``.

    Writing is atomic (temporary name, fsync where there is one, rename) and writing twice is free.
    """

    def __init__(self, url: str, *, make: bool = True) -> None:
        """Open a store, or make it.

        Args:
            url: as fsspec takes it.
            make: False for a reader that must leave no trace.

        Raises:
            StoreError: the URL cannot be opened or written.
        """
        try:
            self._fs, self._base = fsspec.core.url_to_fs(url)  # type: ignore[no-untyped-call]
            if make:
                self._fs.makedirs(self._base, exist_ok=True)
        except (OSError, ValueError, ImportError) as error:
            raise StoreError(f"{url}: the blob store cannot be opened: {error}") from None

    def path(self, root: bytes) -> str:
        """Where the blob of this root lies, within the store's file system."""
        name = root.hex()
        return f"{self._base}/{name[:2]}/{name}"

    def put(self, data: bytes | NDArray[np.uint8], root: bytes | None = None) -> bytes:
        """Store bytes and return their root; ``root`` spares a second hashing when it is known.

        Raises:
            StoreError: it cannot be written (disk full, read-only).
        """
        root = merkle.root(data) if root is None else root
        path = self.path(root)
        temporary = f"{path}.{uuid4().hex}.tmp"
        try:
            if self._fs.exists(path):
                return root
            self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            with self._fs.open(temporary, "wb") as file:
                file.write(merkle.as_bytes(data))
                file.flush()
                with contextlib.suppress(AttributeError, io.UnsupportedOperation):  # remote files have none
                    os.fsync(file.fileno())
            self._fs.mv(temporary, path)
        except OSError as error:
            raise StoreError(f"{path}: the blob cannot be written: {error}") from None
        return root

    def get(
        self, root: bytes, *, verify: bool = True, out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """The bytes under a root as uint8.

        Args:
            root: of the blob.
            verify: False for bytes whose integrity the reader checks anyway, as an envelope's tag does.
            out: to read a local file into, where it is large enough; fresh memory costs as much as reading.

        Raises:
            BlobMissingError: there is none.
            BlobCorruptError: there is, and it is something else.
            StoreError: it cannot be read.
        """
        path = self.path(root)
        try:
            data = self._read(path, out)
        except FileNotFoundError:
            raise BlobMissingError(f"{path}: no such blob.") from None
        except OSError as error:
            raise StoreError(f"{path}: the blob cannot be read: {error}") from None
        if verify and (found := merkle.root(data)) != root:
            raise BlobCorruptError(f"{path}: its bytes have the root {found.hex()}.")
        return data

    def _read(self, path: str, out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        if out is None or not isinstance(self._fs, LocalFileSystem):
            return np.frombuffer(self._fs.cat_file(path), np.uint8)
        with Path(path).open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > out.nbytes:
                return np.frombuffer(file.read(), np.uint8)
            done = 0
            while count := file.readinto(out[done:].data):  # at most 2 GiB at once
                done += count
            return out[:done]

    def __contains__(self, root: bytes) -> bool:
        return bool(self._fs.exists(self.path(root)))

    def __iter__(self) -> Iterator[str]:
        """Names of all files in the store, relative to it, in order: blobs, and what is none."""
        base = self._base.rstrip("/") + "/"
        yield from sorted(path.removeprefix(base) for path in self._fs.find(self._base))
