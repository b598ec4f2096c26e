"""Files of others, read up to a bound: whoever sends a run does not choose how much memory its reader has.

A pipe that nobody writes to is an empty file here, so that none makes a reader wait for ever.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from fedcxr.errors import StoreError

_CHUNK = 1 << 20  # bytes


def read(path: Path, longest: int) -> bytes:
    """A file's bytes.

    Args:
        path: of the file.
        longest: bytes that it may have; no more are read.

    Raises:
        StoreError: it has more.
        OSError: it cannot be read.
    """
    with opened(path) as file:
        return read_stream(file, longest, str(path))


def read_stream(file: BinaryIO, longest: int, name: str) -> bytes:
    """What is left of an open stream.

    Raises:
        StoreError: it is more than ``longest`` bytes.
    """
    pieces, left = [], longest + 1
    while left and (piece := file.read(min(left, _CHUNK))):  # a chunk at a time: memory for what is there
        pieces.append(piece)
        left -= len(piece)
    if not left:
        raise StoreError(f"{name}: more than {longest:,} bytes, which is the most that it may have.")
    return b"".join(pieces)


def copy(path: Path, into: Path, longest: int) -> Path:
    """Copy a file's bytes.

    Args:
        path: of the file.
        into: path of the copy.
        longest: bytes that it may have; no more are written.

    Returns:
        The copy.

    Raises:
        StoreError: it has more.
        OSError: it cannot be read, or the copy not be written.
    """
    with opened(path) as file, into.open("wb") as copied:
        left = longest
        if os.fstat(file.fileno()).st_size > longest:
            left = -1
        while left >= 0 and (piece := file.read(_CHUNK)):
            left -= len(piece)
            copied.write(piece if left >= 0 else b"")
    if left < 0:
        raise StoreError(f"{path}: more than {longest:,} bytes, which is the most that it may have.")
    return into


def lines(path: Path, longest: int, longest_line: int) -> Iterator[bytes]:
    """A file's lines, each with its line end but for a last one that was cut short.

    Of a line that is longer than it may be, the first ``longest_line + 1`` bytes come, and no end.

    Args:
        path: of the file.
        longest: bytes that the file may have.
        longest_line: bytes that a line may have.

    Raises:
        StoreError: the file has more bytes.
        OSError: it cannot be read.
    """
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size > longest:
            raise StoreError(f"{path}: more than {longest:,} bytes, which is the most that it may have.")
        left = longest
        while line := file.readline(longest_line + 2):
            rest = line
            while rest and not rest.endswith(b"\n"):  # the end of the line, or of the file
                rest = file.readline(_CHUNK)
                left -= len(rest)
            left -= len(line)
            if left < 0:  # a file that grows, or that is none
                raise StoreError(f"{path}: more than {longest:,} bytes, which is the most that it may have.")
            yield line if len(line) <= longest_line + 1 else line[: longest_line + 1]


def opened(path: Path) -> BufferedReader:
    """Open a file to read bytes; of a pipe that nobody writes to there are none.

    Raises:
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
