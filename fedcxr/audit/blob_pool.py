"""Worker processes that check blobs, and the sums that they share."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager
from multiprocessing.shared_memory import SharedMemory
from typing import Self

import numpy as np

from fedcxr.audit.blob_check import BlobChecker, BlobResult, BlobTask
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.privacy.protection import Protection
from fedcxr.update.fixed_point import Ring

WORTH_A_PROCESS = 256 << 20  # bytes; under it processes take longer to start than to do the work
_checker: BlobChecker | None = None  # of this process, when it is a worker


def workers_for(size: int) -> int:
    """How many processes ``size`` bytes are worth; 0 is to check them in this one."""
    if size < WORTH_A_PROCESS:
        return 0
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    return min(cores, 8) if cores > 1 else 0


class SharedSum:
    """A buffer that workers add into; its name is what they know it by."""

    def __init__(self, size: int, *, shared: bool) -> None:
        self._memory = SharedMemory(create=True, size=max(4 * size, 1)) if shared else None
        self.name = f"sum {id(self)}"
        self.values: Ring | None = np.zeros(size, np.uint32) if self._memory is None else None
        if self._memory is not None:
            assert self._memory.buf is not None
            self.name = self._memory.name
            self.values = np.frombuffer(self._memory.buf, np.uint32, size)

    def close(self) -> None:
        self.values = None
        if self._memory is not None:
            with contextlib.suppress(
                BufferError
            ):  # somebody still holds the values; the memory goes with them
                self._memory.close()
            self._memory.unlink()


class BlobPool(AbstractContextManager["BlobPool"]):
    """Checks blobs in processes, or in this one; results come as futures."""

    def __init__(
        self, store: str, protection: Protection, keys: Sequence[EnvelopePrivateKey], workers: int
    ) -> None:
        """Start the workers; they import what they need while the caller reads the ledger.

        Args:
            store: URL.
            protection: of the updates; workers get it as it is.
            keys: of the readers, which tasks name by their place.
            workers: 0 to check in this process.
        """
        self._pool: ProcessPoolExecutor | None = None
        self._sums: list[SharedSum] = []
        self._free: list[SharedSum] = []
        self._here: BlobChecker | None = None
        if workers:
            context = multiprocessing.get_context("spawn")  # a fork would copy the locks of other threads
            self._pool = ProcessPoolExecutor(
                workers,
                context,
                initializer=_begin,
                initargs=(store, protection, [key.data for key in keys], context.Lock()),
            )
        else:
            self._here = BlobChecker(store, protection.readers(keys), contextlib.nullcontext())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        for one in self._sums:
            one.close()

    def submit(self, task: BlobTask) -> Future[BlobResult]:
        """Check a blob; what went wrong with it is in the result, and not raised."""
        if self._pool is not None:
            return self._pool.submit(_check, task)
        assert self._here is not None
        done: Future[BlobResult] = Future()
        done.set_result(self._here.check(task))
        return done

    def borrow(self, size: int) -> SharedSum:
        """A sum of zeros, uint32 (size,); :meth:`give_back` it."""
        for one in self._free:
            if one.values is not None and one.values.size == size:
                self._free.remove(one)
                one.values[:] = 0
                return one
        made = SharedSum(size, shared=self._pool is not None)
        self._sums.append(made)
        if self._here is not None and made.values is not None:
            self._here.totals[made.name] = made.values
        return made

    def give_back(self, one: SharedSum) -> None:
        self._free.append(one)


def _begin(
    store: str, protection: Protection, keys: Sequence[bytes], turn: AbstractContextManager[object]
) -> None:
    global _checker  # noqa: PLW0603 (an executor's worker has no other place for what it needs)
    readers = protection.readers([EnvelopePrivateKey(key) for key in keys])
    _checker = BlobChecker(store, readers, turn)


def _check(task: BlobTask) -> BlobResult:
    assert _checker is not None
    return _checker.check(task)
