"""Content-addressed blobs on anything that fsspec opens: a blob's name is its Merkle root."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from fsspec.implementations.local import LocalFileSystem

from fedcxr import bounded, files
from fedcxr.errors import BlobCorruptError, BlobMissingError, StoreError, UnwritableError
from fedcxr.store import filesystem
from fedcxr.update import merkle

if TYPE_CHECKING:  # whether a blob is there is asked without it
    import numpy as np
    from numpy.typing import NDArray


class BlobStore:
    """Blobs under ``<url>/<first two hex digits>/<root in hex>``.

    A blob is written whole or not at all, and writing it twice is free. Several processes may write one blob
    at once: each writes the same bytes.
    """

    def __init__(self, url: str, *, make: bool = True) -> None:
        """Open the store at a URL, or make it.

        Args:
            url: as fsspec takes it; see :mod:`fedcxr.store.filesystem`.
            make: False for a reader that must leave no trace.

        Raises:
            StoreError: the URL cannot be opened or written.
        """
        self._fs, base = filesystem.open_url(url)
        self._base = base.rstrip("/")
        self._local = filesystem.is_local(self._fs)
        try:
            if make and self._local:
                files.make_folder(Path(self._base))
            elif make:
                self._fs.makedirs(self._base, exist_ok=True)
        except Exception as error:  # a remote driver's errors are its own
            raise StoreError(f"{url}: the blob store cannot be opened: {_said(error)}") from None

    @property
    def is_there(self) -> bool:
        """Whether the store exists; an object store's prefix exists once it has a blob."""
        return not self._local or Path(self._base).is_dir()

    def path(self, root: bytes) -> str:
        """The path of the blob under a root, within the store's file system."""
        name = root.hex()
        return f"{self._base}/{name[:2]}/{name}"

    def put(
        self,
        data: bytes | NDArray[np.uint8],
        root: bytes | None = None,
        *,
        meanwhile: Callable[[], object] | None = None,
    ) -> bytes:
        """Store bytes and return their root; a ``root`` that is known already spares the hashing.

        Args:
            data: the bytes.
            root: of them.
            meanwhile: what else there is to do while a local disk writes, as to see that ``root`` is theirs.
                There is no such blob before it is done, and none through this call where it raises.

        Raises:
            UnwritableError: it cannot be written (disk full, read-only, out of reach).
        """
        root = merkle.root(data) if root is None else root
        content = memoryview(merkle.as_bytes(data))
        path = self.path(root)
        if meanwhile is not None and not self._local:
            meanwhile()
            meanwhile = None
        try:
            if self._size(path) != content.nbytes:
                self._write(path, content, meanwhile)
                return root
        except Exception as error:  # a remote driver's errors are its own
            if self._local and not isinstance(error, OSError):
                raise
            raise UnwritableError(f"{path}: the blob cannot be written: {_said(error)}") from None
        if meanwhile is not None:
            meanwhile()
        return root

    def get(
        self,
        root: bytes,
        longest: int,
        *,
        out: NDArray[np.uint8] | None = None,
        name_of: Callable[[NDArray[np.uint8]], bytes] = merkle.root,
    ) -> NDArray[np.uint8]:
        """The bytes under a root as uint8.

        Args:
            root: of the blob.
            longest: bytes that it may have; no more are fetched, whatever the store has.
            out: to read a local file into, where it is large enough; fresh memory costs as much as reading.
            name_of: what a blob is named by, if not by its Merkle root.

        Raises:
            BlobMissingError: there is none.
            BlobCorruptError: there is, and it is something else, or longer.
            StoreError: it cannot be read.
        """
        path = self.path(root)
        try:
            data = self._read(path, longest, out)
        except FileNotFoundError:
            raise BlobMissingError(f"{path}: no such blob.") from None
        except Exception as error:  # a remote driver's errors are its own
            raise StoreError(f"{path}: the blob cannot be read: {_said(error)}") from None
        if data.nbytes > longest:
            raise BlobCorruptError(f"{path}: it has more than {longest:,} bytes, which is the most here.")
        if (found := name_of(data)) != root:
            raise BlobCorruptError(f"{path}: its bytes have the root {found.hex()}.")
        return data

    def size(self, root: bytes) -> int | None:
        """The size in bytes of the blob under a root; None where there is none.

        Raises:
            StoreError: the store cannot be asked.
        """
        try:
            return self._size(self.path(root))
        except Exception as error:  # a remote driver's errors are its own
            raise StoreError(f"{self.path(root)}: the blob cannot be looked up: {_said(error)}") from None

    def _read(self, path: str, longest: int, out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        """The first ``longest + 1`` bytes: one too many says that there are more than may be."""
        import numpy as np

        if not isinstance(self._fs, LocalFileSystem):
            try:
                return np.frombuffer(self._fs.cat_file(path, start=0, end=longest + 1), np.uint8)
            except Exception:
                if self._size(path) == 0:  # of which HTTP can give no part
                    return np.empty(0, np.uint8)
                raise
        with bounded.opened(Path(path)) as file:  # a pipe would be waited for
            size = min(os.fstat(file.fileno()).st_size, longest + 1)
            if out is None or size > out.nbytes:
                out = np.empty(size, np.uint8)
            out, done = out[: longest + 1], 0
            while count := file.readinto(out[done:].data):
                done += count
            return out[:done]

    def __contains__(self, root: bytes) -> bool:
        return bool(self._fs.exists(self.path(root)))

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of all files in the store, blobs or not, relative to it and in order."""
        yield from self.sizes()

    def sizes(self) -> dict[str, int]:
        """The sizes in bytes of all files in the store, by their names relative to it, in order.

        Raises:
            StoreError: it cannot be listed.
        """
        try:
            self._fs.invalidate_cache()
            found = self._fs.find(self._base, detail=True)
        except Exception as error:  # a remote driver's errors are its own
            raise StoreError(f"{self._base}: the store cannot be listed: {_said(error)}") from None
        base = self._base + "/"
        return {path.removeprefix(base): int(found[path]["size"] or 0) for path in sorted(found)}

    def remove(self, name: str) -> None:
        """Remove a file by its name as :meth:`sizes` gives it; that it is gone already is no error.

        Raises:
            StoreError: it cannot be removed.
        """
        path = f"{self._base}/{name}"
        try:
            self._fs.rm_file(path)
        except FileNotFoundError:
            return
        except Exception as error:  # a remote driver's errors are its own
            raise StoreError(f"{path}: cannot be removed: {_said(error)}") from None

    def _size(self, path: str) -> int | None:
        try:
            return int(self._fs.info(path)["size"])
        except FileNotFoundError:
            return None

    def _write(self, path: str, content: memoryview, meanwhile: Callable[[], object] | None = None) -> None:
        if self._local:
            files.write(Path(path), content, shared=True, meanwhile=meanwhile)
        elif filesystem.writes_whole(self._fs):
            self._fs.pipe_file(path, bytes(content))
        else:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            temporary = f"{path}.{uuid4().hex}{files.TEMPORARY}"
            self._fs.pipe_file(temporary, bytes(content))
            self._fs.mv(temporary, path)


def _said(error: Exception) -> str:
    """The first line of a driver's error message; some drivers add pages."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
