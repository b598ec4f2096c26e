"""The file system behind a store's URL: a local folder, or anything that fsspec has a driver for.

``s3://``, ``gs://`` and ``az://`` are taken by fsspec's own driver where one is installed (s3fs, gcsfs,
adlfs) and else by obstore, which the extra ``fedcxr[s3]`` brings. ``ipfs://HOST:PORT/FOLDER`` is a
folder of a Kubo node (:mod:`fedcxr.store.ipfs`). Keys and endpoint come from the environment
(``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_ENDPOINT_URL``, …), never from the configuration.
"""

from __future__ import annotations

import atexit
import time
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from fedcxr.errors import StoreError
from fedcxr.store.ipfs import IpfsFiles

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "memory"})
"""Protocols whose one write makes an object whole or not at all, so that no temporary name is wanted."""

_SETTLING = 0.1  # seconds that obstore's threads get at the process's end
_OBSTORE = {"s3": "s3", "s3a": "s3a", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "abfs", "abfss": "abfss"}


def open_url(url: str) -> tuple[Any, str]:
    """The file system behind a URL, and the path of the URL within it.

    Raises:
        StoreError: no driver, or none that opens it.
    """
    protocol = url.partition("://")[0]
    if protocol == "ipfs":  # not fsspec's gateway of that name, which only reads
        return IpfsFiles(url.partition("://")[2].partition("/")[0]), IpfsFiles._strip_protocol(url)
    try:
        file_system, path = fsspec.core.url_to_fs(url)  # type: ignore[no-untyped-call]
    except ImportError as error:
        if protocol not in _OBSTORE:
            raise StoreError(f"{url}: the blob store cannot be opened: {error}") from None
        return _by_obstore(url, protocol)
    except (OSError, ValueError) as error:
        raise StoreError(f"{url}: the blob store cannot be opened: {error}") from None
    return file_system, path


def _by_obstore(url: str, protocol: str) -> tuple[Any, str]:
    try:
        from obstore.fsspec import FsspecStore
    except ImportError:
        raise StoreError(f"{url}: wants a driver: pip install 'fedcxr[s3]'.") from None
    # A thread of its that still hands over a result while the interpreter ends aborts the process: one in
    # ten that end right after a write. Asleep, this thread lets them finish first.
    atexit.unregister(_settle)
    atexit.register(_settle)
    driver: Any = FsspecStore
    return driver(_OBSTORE[protocol]), url.partition("://")[2]


def _settle() -> None:
    time.sleep(_SETTLING)


def is_local(file_system: Any) -> bool:
    """Whether it is this machine's own file system, where a write can be forced to the disk."""
    return isinstance(file_system, LocalFileSystem)


def writes_whole(file_system: Any) -> bool:
    """Whether one write makes a file whole or not at all."""
    protocols = file_system.protocol
    return not OBJECT_STORES.isdisjoint((protocols,) if isinstance(protocols, str) else protocols)
