"""Many radiographs decoded by all cores, each written to its place in one file of pixels.

A worker writes with ``pwrite`` at the image's own offset, so no process maps or holds the whole, and the
order in which images are done does not matter. Workers are spawned, not forked: the parent may have threads,
a CUDA context or a Ray connection.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path

from fedcxr import files
from fedcxr.data.radiograph import Stamp, UnreadableError, decode
from fedcxr.errors import CacheError

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)``, in images."""

BATCH = 128  # images a task: about a tenth of a second, so that progress moves and little is lost by a kill
_WORTH_A_WORKER = 1024  # a spawned worker costs about the time in which one core decodes as many images


@dataclass(frozen=True)
class Target:
    """Where pixels go: image ``row`` stands at ``offset + row * size ** 2`` of ``file``.

    ``file`` is None where images are only tried.
    """

    file: Path | None
    offset: int
    size: int


@dataclass(frozen=True)
class Decoded:
    """What became of one row: its file's stamp, or why it cannot be read."""

    row: int
    stamp: Stamp | None
    fault: str = ""


def default_workers(images: int) -> int:
    """All cores that this process may use, but none for so few images that starting it costs more."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, images // _WORTH_A_WORKER))


def decode_all(
    root: Path, paths: Sequence[tuple[int, str]], target: Target, workers: int
) -> Iterator[list[Decoded]]:
    """Decode (row, path relative to ``root``) pairs, and give each batch as it is done, in any order.

    A file that cannot be read does not stop the others. With one worker everything happens in this process.

    Raises:
        UnwritableError: the pixels cannot be written.
        CacheError: a worker was killed.
    """
    batches = (paths[start : start + BATCH] for start in range(0, len(paths), BATCH))
    try:
        if workers == 1:
            for batch in batches:
                yield _decode_batch(root, batch, target)
        else:
            yield from _spread(root, batches, target, workers)
    except BrokenProcessPool:
        raise CacheError(
            f"{target.file}: a decoding process was killed, perhaps for want of memory; "
            "what is done is kept, prepare again with fewer workers."
        ) from None


def _spread(
    root: Path, batches: Iterator[Sequence[tuple[int, str]]], target: Target, workers: int
) -> Iterator[list[Decoded]]:
    executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent)
    try:
        running: set[Future[list[Decoded]]] = set()
        while True:
            for batch in islice(batches, 2 * workers - len(running)):  # one being done, one waiting, for each
                running.add(executor.submit(_decode_batch, root, batch, target))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        with _uninterrupted():
            executor.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not break off the end of the workers: what is left of a pool would hang."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end_with_parent() -> None:
    """Make a worker end when its parent is killed, and not at Ctrl-C, which its parent answers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _decode_batch(root: Path, batch: Sequence[tuple[int, str]], target: Target) -> list[Decoded]:
    if target.file is None:
        return [_decode_row(root, row, path, target, None) for row, path in batch]
    try:
        file = os.open(target.file, os.O_WRONLY)
        try:
            return [_decode_row(root, row, path, target, file) for row, path in batch]
        finally:
            os.close(file)
    except OSError as error:
        raise files.unwritable(target.file, error) from None


def _decode_row(root: Path, row: int, path: str, target: Target, file: int | None) -> Decoded:
    try:
        pixels, stamp = decode(root / path, target.size)
    except UnreadableError as error:
        return Decoded(row, None, str(error))
    if file is not None:
        data = memoryview(pixels.tobytes())
        place = target.offset + row * target.size**2
        while data:  # a write may be cut short, by a signal or a disk that fills up
            written = os.pwrite(file, data, place)
            data, place = data[written:], place + written
    return Decoded(row, stamp)
