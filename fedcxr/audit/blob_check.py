"""One blob against its root, opened and added where a key allows: the part of an audit that takes the time.

It runs in worker processes, so nothing here imports more than it needs. A worker holds one blob and one
opened update, whatever the number of hospitals; the sum is shared between them, and added to one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory

import numpy as np
from numpy.typing import NDArray

from fedcxr.aggregation.aggregator import Measurement
from fedcxr.aggregation.kinds import aggregator_of
from fedcxr.errors import EnvelopeError, LayoutError, StoreError
from fedcxr.privacy.protection import UpdateContext, UpdateReader
from fedcxr.store.blobs import BlobStore
from fedcxr.update.fixed_point import Ring
from fedcxr.update.layout import Layout


@dataclass(frozen=True)
class Opening:
    """How an update is read, and what it is then held to.

    Attributes:
        layout: whose size it must have.
        context: what it must have been protected for.
        weight: which bounds its values.
        readers: places of the readers to try, in their order.
        total: name of the shared sum to add it to; empty to see only whether it could be added.
        measure: whether to take of it what it is compared by.
        aggregation: kind of the sum.
        head: bytes of its beginning to hand back, which have its header.
    """

    layout: Layout
    context: UpdateContext
    weight: int
    readers: tuple[int, ...]
    total: str = ""
    measure: bool = False
    aggregation: str = "weighted_sum"
    head: int = 0


@dataclass(frozen=True)
class BlobTask:
    """A blob to check; without an opening its bytes alone."""

    root: bytes
    size: int  # in bytes, by the ledger
    longest: int  # bytes that it may have
    opening: Opening | None = None


@dataclass(frozen=True)
class BlobResult:
    """What came of it.

    Attributes:
        size: bytes that were read.
        error: why they are not the root's bytes; empty when they are.
        refused: why it could not be opened and added; empty when it was, or was not to be.
        measured: what it is compared by, where that was asked for.
        head: its first bytes, where they were asked for and it could be read.
    """

    size: int = 0
    error: str = ""
    refused: str = ""
    measured: Measurement | None = None
    head: bytes = b""


class BlobChecker:
    """Checks blobs of one store, one after another.

    Attributes:
        store: URL.
        readers: of the updates, which tasks name by their place.
        turn: held while the shared sum is added to.
    """

    def __init__(
        self, store: str, readers: Sequence[UpdateReader], turn: AbstractContextManager[object]
    ) -> None:
        self.store = BlobStore(store, make=False)
        self.readers = readers
        self.turn = turn
        self.totals: dict[str, Ring] = {}  # by name; in a worker they are attached when first named
        self._attached: list[SharedMemory] = []
        self._payload: Ring = np.empty(0, np.uint32)
        self._blob: NDArray[np.uint8] = np.empty(0, np.uint8)

    def check(self, task: BlobTask) -> BlobResult:
        if self._blob.nbytes <= task.size:  # a byte more, so that one too many is seen
            self._blob = np.empty(task.size + 1, np.uint8)
        try:
            blob = self.store.get(task.root, task.longest, out=self._blob)
        except StoreError as error:
            return BlobResult(error=str(error))
        if task.opening is None:
            return BlobResult(blob.nbytes)
        return self._open(blob, task.opening)

    def _open(self, blob: NDArray[np.uint8], opening: Opening) -> BlobResult:
        """Read an update, and add it where that is asked for: the first reader that can decides."""
        why = "there is no key."
        for place in opening.readers:
            try:
                measured = self._add(blob, opening, self.readers[place])
            except (EnvelopeError, LayoutError) as error:
                why = str(error)
            else:
                return BlobResult(blob.nbytes, measured=measured, head=blob[: opening.head].tobytes())
        return BlobResult(blob.nbytes, refused=why)

    def _add(self, blob: NDArray[np.uint8], opening: Opening, reader: UpdateReader) -> Measurement | None:
        if self._payload.size != opening.layout.size:
            self._payload = np.empty(opening.layout.size, np.uint32)
        update = reader.read(blob, opening.context, out=self._payload)
        if opening.total:
            with self.turn:
                total = aggregator_of(opening.layout, self._total(opening), kind=opening.aggregation)
                total.add(update, opening.weight)
            return None
        # Nothing is added to it, so it needs no buffer.
        screening = aggregator_of(opening.layout, update, kind=opening.aggregation)
        screening.screen(update, opening.weight)
        return screening.measure(update, opening.weight) if opening.measure else None

    def _total(self, opening: Opening) -> Ring:
        if opening.total not in self.totals:
            memory = SharedMemory(opening.total)
            assert memory.buf is not None
            self._attached.append(memory)
            self.totals[opening.total] = np.frombuffer(memory.buf, np.uint32, opening.layout.size)
        return self.totals[opening.total]
