"""Files that survive a kill, a full disk and a loss of power.

A file is replaced whole: written under a temporary name, forced to the disk, renamed, and the rename forced
to the disk too. A line is appended whole: what a crash cut short is taken away before the next one. Nothing
else in fedcxr writes what a run must find again (the chain's file has SQLite's own journal).
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from fedcxr.errors import UnwritableError

TEMPORARY = ".tmp"
"""Suffix of a file that is being written; one that nobody writes any more was left by a crash."""


def write(
    path: Path,
    content: bytes | str | memoryview | tuple[bytes | memoryview, ...],
    *,
    mode: int = 0o644,
    shared: bool = False,
    meanwhile: Callable[[], object] | None = None,
) -> None:
    """Replace a file's content, wholly or not at all; it is on the disk when this returns.

    Args:
        path: of the file; folders above it are made.
        content: text is written as UTF-8, the parts of a tuple one after the other.
        mode: of a file that is not there yet.
        shared: whether several processes may write this file at once, each the same bytes: then each has a
            temporary name of its own. Otherwise the name is fixed, so that the next write clears it.
        meanwhile: what else there is to do while the disk takes the content, which must not change. The old
            file stands until it is done, and for good where it raises.

    Raises:
        UnwritableError: it cannot be written (disk full, read-only); the old file stands.
    """
    temporary = path.with_name(f"{path.name}.{uuid4().hex}{TEMPORARY}" if shared else path.name + TEMPORARY)
    data = content.encode() if isinstance(content, str) else content
    parts = data if isinstance(data, tuple) else (data,)
    try:
        make_folder(path.parent)
        try:
            if meanwhile is None:
                _fill(temporary, parts, mode)
            else:
                with ThreadPoolExecutor(1) as disk:
                    filled = disk.submit(_fill, temporary, parts, mode)
                    meanwhile()
                filled.result()
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):  # on a full disk it is in the way of what comes next
                temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)
    except OSError as error:
        raise unwritable(path, error) from None


def write_with(path: Path, save: Callable[[BinaryIO], Any]) -> None:
    """Replace a file with what ``save`` writes into a buffer, as libraries that draw do.

    Raises:
        UnwritableError: as :func:`write`.
    """
    buffer = io.BytesIO()
    save(buffer)
    write(path, buffer.getbuffer())


def append_line(path: Path, line: str) -> None:
    """Append one line; it is on the disk when this returns, and one that a crash cut short is gone.

    Raises:
        UnwritableError: it cannot be written; the lines before it stand.
    """
    try:
        fresh = not path.exists()
        with path.open("ab+") as file:
            end = _cut_to_whole_lines(file)
            try:
                file.write(line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(file.fileno(), end)
                raise
        if fresh:
            sync(path.parent)
    except OSError as error:
        raise unwritable(path, error) from None


def make_folder(path: Path) -> None:
    """Make a folder and those above it, each on the disk in the one that holds it."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file or folder, written by whichever process, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fill(path: Path, parts: tuple[bytes | memoryview, ...], mode: int) -> None:
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def unwritable(path: Path | str, error: OSError) -> UnwritableError:
    """What a refused write is called everywhere."""
    return UnwritableError(f"{path}: cannot be written: {error.strerror or error}.")


def _cut_to_whole_lines(file: BinaryIO) -> int:
    """Take away a last line that a crash cut short, and return where the next begins."""
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return 0
    file.seek(-1, os.SEEK_END)
    if file.read(1) != b"\n":
        file.seek(0)
        end = file.truncate(file.read().rfind(b"\n") + 1)
    return end
