"""The updates of one round that are in its sum, and those that are left out, with their reasons.

An update is added when it comes in, from the memory that was hashed, and dropped: one is in memory at a time.
What counts, and with what weight, is the contract's word: it comes in as a :class:`RoundView`. What was added
and does not count, or counts with other bytes, is taken out again, exactly; what did not come in here, as
before a restart, is read from the store when it counts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from fedcxr.aggregation.aggregator import Aggregator
from fedcxr.aggregation.kinds import aggregator_of
from fedcxr.errors import BlobCorruptError, BlobMissingError, EnvelopeError, LayoutError, StoreError
from fedcxr.ledger.protocol import RoundView
from fedcxr.privacy.protection import Blob, ShownUpdate, UpdateContext, UpdateReader
from fedcxr.store.blobs import BlobStore
from fedcxr.update.fixed_point import Ring
from fedcxr.update.kept_memory import MEMORY
from fedcxr.update.layout import Layout

logger = logging.getLogger(__name__)
_UNUSABLE = (EnvelopeError, LayoutError, BlobMissingError, BlobCorruptError)


class _Ahead(NamedTuple):
    """What was added before it counted; its hospital may have another key, or none, when that is known."""

    root: bytes
    weight: int


@dataclass
class Tally:
    """What of a round is in its sum.

    Attributes:
        layout: of the updates.
        reader: of the updates, as the coordinator.
        store: the blobs.
        federation: hex id.
        longest: bytes that an update's blob may have.
        masks: context of the masked attempt; empty where nothing is masked.
        aggregation: kind of the sum.
        total: the sum so far.
        included: hospitals whose updates are in the sum, in the order in which they came.
        excluded: why an update that counts is not in the sum, by hospital.
    """

    layout: Layout
    reader: UpdateReader
    store: BlobStore
    federation: str
    longest: int
    masks: bytes = b""
    aggregation: str = "weighted_sum"
    included: list[str] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    total: Aggregator = field(init=False)
    _ahead: dict[str, _Ahead] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.total = self._nothing()

    def take(self, blob: Blob | bytes, root: bytes, view: RoundView, address: str) -> None:
        """Read an update that came in and add it, before it is known whether it counts.

        Args:
            blob: as it came.
            root: of it, under which the store has it.
            view: of the round.
            address: of its hospital.

        Raises:
            EnvelopeError, LayoutError: why it may not enter the sum, which is as it was.
        """
        if address not in view.weights:
            raise EnvelopeError(f"{address} has no seat in the round any more: its key was rotated.")
        self._drop_other(view, address, root)
        update = self.reader.read(blob, self._context(view, address), self._scratch)
        self._add_ahead(update, root, view, address)

    def show(self, view: RoundView, address: str) -> ShownUpdate:
        """An accepted update for validators; it is added on the way, and taken out if they reject it.

        Raises:
            EnvelopeError, StoreError: it cannot be read.
        """
        root = view.accepted[address].root
        self._drop_other(view, address, root)
        shown = self.reader.show(self._blob(root), self._context(view, address))
        try:
            self._add_ahead(shown.update, root, view, address)
        except LayoutError as error:
            logger.info("round %d: %s cannot be added: %s", view.number, address, error)
        return shown

    def include(self, view: RoundView, address: str) -> str:
        """Put an update that counts into the sum; what cannot be added is excluded.

        Returns:
            Why it is excluded; empty when it is in the sum.
        """
        update = view.accepted[address]
        for former in sorted(self._ahead.keys() - view.weights.keys()):
            self._drop(view, former)  # its seat has another key: with both weights the sum would be too heavy
        self._drop_other(view, address, update.root)
        if address in self._ahead and self.store.size(update.root) != update.size:
            self._drop(view, address)  # nobody could prove what it was
        if self._ahead.pop(address, None) is None:
            try:
                self.total.add(self._read(view, address), view.weights[address])
            except _UNUSABLE as error:
                return self._exclude(address, error)
        self.included.append(address)
        return ""

    def include_all(self, view: RoundView) -> Iterator[tuple[str, str]]:
        """Bring the sum to what counts in a round that is closed and judged.

        Yields:
            Each hospital whose update counts and had no such answer yet, and why it is excluded; empty when
            it is in the sum.
        """
        for address in sorted(self._ahead.keys() - set(view.counted)):
            self._drop(view, address)
        left_out = self._compare(view) if self.total.compares else {}
        answered = {*self.included, *self.excluded}
        for address in view.counted:
            if address in answered:
                continue
            if address in left_out:
                self.excluded[address] = left_out[address]
                yield address, f"excluded: {left_out[address]}"
            else:
                yield address, self.include(view, address)

    def _add_ahead(self, update: Ring, root: bytes, view: RoundView, address: str) -> None:
        if address in self._ahead:
            return
        if self.total.compares:
            self.total.screen(update, view.weights[address])
        else:
            self.total.add(update, view.weights[address])
            self._ahead[address] = _Ahead(root, view.weights[address])

    def _drop_other(self, view: RoundView, address: str, root: bytes) -> None:
        """Take out of the sum what a hospital sent, unless it is the update with this root."""
        if address in self._ahead and self._ahead[address].root != root:
            self._drop(view, address)

    def _drop(self, view: RoundView, address: str) -> None:
        """Take out of the sum what was added before it counted."""
        if address not in self._ahead:
            return  # the sum was begun again without it
        root, weight = self._ahead.pop(address)
        try:
            update = self.reader.read(self._blob(root), self._context(view, address, weight), self._scratch)
        except (*_UNUSABLE, StoreError) as error:
            # What was added cannot be had again. Nothing of it is wanted: begin an empty sum.
            logger.info("round %d: the sum is begun again, without %s: %s", view.number, address, error)
            self.total = self._nothing()
            self._ahead.clear()
            again, self.included = self.included, []
            for one in again:
                self.include(view, one)
        else:
            self.total.remove(update, weight)

    def _compare(self, view: RoundView) -> dict[str, str]:
        """Which updates the aggregation leaves out, once it has measured all that can be read."""
        measured = {}
        for address in view.counted:
            try:
                update = self._read(view, address)
                self.total.screen(update, view.weights[address])
            except _UNUSABLE:
                continue  # excluded when it cannot be added
            measured[address] = self.total.measure(update, view.weights[address])
        return {address: reason[:200] for address, reason in self.total.left_out(measured).items()}

    def _read(self, view: RoundView, address: str) -> Ring:
        blob = self._blob(view.accepted[address].root)
        return self.reader.read(blob, self._context(view, address), self._scratch)

    def _blob(self, root: bytes) -> Blob:
        # Verified whenever it is read: anybody can seal other bytes to the coordinator, a store too.
        return self.store.get(root, self.longest)

    def _exclude(self, address: str, error: Exception) -> str:
        # The reason is public, and a store's error names paths of this machine.
        public = error.help if isinstance(error, StoreError) else str(error)
        self.excluded[address] = f"{type(error).__name__}: {public}"[:200]
        return f"excluded: {error}"

    def _nothing(self) -> Aggregator:
        memory = MEMORY.vector(self.layout.size)
        memory.fill(0)
        return aggregator_of(self.layout, memory, kind=self.aggregation)

    @property
    def _scratch(self) -> Ring:
        return MEMORY.vector(self.layout.size)

    def _context(self, view: RoundView, address: str, weight: int | None = None) -> UpdateContext:
        return UpdateContext(
            federation=self.federation,
            round=view.number,
            hospital=address,
            layout=self.layout.digest.hex(),
            values=self.layout.size,
            weight=view.weights[address] if weight is None else weight,
            masks=self.masks,
        )
