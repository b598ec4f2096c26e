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

from fedcxr.aggregation.weighted_sum import WeightedSum
from fedcxr.errors import EnvelopeError, LayoutError, StoreError
from fedcxr.privacy.envelope import EnvelopeContext, open_envelope, plain_update
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.store.blobs import BlobStore
from fedcxr.update import fixed_point
from fedcxr.update.fixed_point import Ring
from fedcxr.update.layout import Layout


@dataclass(frozen=True)
class Opening:
    """How an update is opened, and what it is then held to.

    Attributes:
        layout: whose size it must have.
        context: what its envelope must have been sealed for.
        weight: which bounds its values.
        keys: places of the keys to try, in their order; None where updates are not sealed.
        total: name of the shared sum to add it to; empty to see only whether it could be added.
    """

    layout: Layout
    context: EnvelopeContext
    weight: int
    keys: tuple[int, ...] | None
    total: str = ""


@dataclass(frozen=True)
class BlobTask:
    """A blob to check; without an opening its bytes alone."""

    root: bytes
    size: int  # in bytes, by the ledger
    opening: Opening | None = None


@dataclass(frozen=True)
class BlobResult:
    """What came of it.

    Attributes:
        size: bytes that were read.
        error: why they are not the root's bytes; empty when they are.
        refused: why it could not be opened and added; empty when it was, or was not to be.
    """

    size: int = 0
    error: str = ""
    refused: str = ""


def open_update(
    blob: NDArray[np.uint8], opening: Opening, key: EnvelopePrivateKey | None, out: Ring | None = None
) -> Ring:
    """The update that a blob holds: uint32 (layout.size,), with its weight in it.

    Args:
        blob: a sealed envelope, or the vector itself.
        opening: how it was sealed.
        key: a recipient's; None where updates are not sealed.
        out: to open it into.

    Raises:
        EnvelopeError: it does not open.
        LayoutError: it has another size than the layout.
    """
    return plain_update(blob) if key is None else open_envelope(blob, opening.context, key, out=out)


class BlobChecker:
    """Checks blobs of one store, one after another.

    Attributes:
        store: URL.
        keys: envelope keys, which tasks name by their place.
        turn: held while the shared sum is added to.
    """

    def __init__(
        self, store: str, keys: Sequence[EnvelopePrivateKey], turn: AbstractContextManager[object]
    ) -> None:
        self.store = BlobStore(store, make=False)
        self.keys = keys
        self.turn = turn
        self.totals: dict[str, Ring] = {}  # by name; in a worker they are attached when first named
        self._attached: list[SharedMemory] = []
        self._payload: Ring = np.empty(0, np.uint32)
        self._blob: NDArray[np.uint8] = np.empty(0, np.uint8)

    def check(self, task: BlobTask) -> BlobResult:
        if self._blob.nbytes <= task.size:  # a byte more, so that one too many is seen
            self._blob = np.empty(task.size + 1, np.uint8)
        try:
            blob = self.store.get(task.root, out=self._blob)
        except StoreError as error:
            return BlobResult(error=str(error))
        if task.opening is None:
            return BlobResult(blob.nbytes)
        return BlobResult(blob.nbytes, refused=self._open(blob, task.opening))

    def _open(self, blob: NDArray[np.uint8], opening: Opening) -> str:
        why = "there is no key."
        for key in [None] if opening.keys is None else [self.keys[place] for place in opening.keys]:
            try:
                self._add(blob, opening, key)
            except (EnvelopeError, LayoutError) as error:
                why = str(error)
            else:
                return ""
        return why

    def _add(self, blob: NDArray[np.uint8], opening: Opening, key: EnvelopePrivateKey | None) -> None:
        if key is not None and self._payload.size != opening.layout.size:
            self._payload = np.empty(opening.layout.size, np.uint32)
        update = open_update(blob, opening, key, out=self._payload)
        if not opening.total:
            opening.layout.check(update)
            fixed_point.check_range(update, opening.weight)
            return
        with self.turn:
            WeightedSum(opening.layout, self._total(opening)).add(update, opening.weight)

    def _total(self, opening: Opening) -> Ring:
        if opening.total not in self.totals:
            memory = SharedMemory(opening.total)
            assert memory.buf is not None
            self._attached.append(memory)
            self.totals[opening.total] = np.frombuffer(memory.buf, np.uint32, opening.layout.size)
        return self.totals[opening.total]
