"""The contract's events as far as they have been read: a later look reads what has come since, and no more.

Whoever follows a round looks once for each update of it. Were all of its events read again each time, a round
would cost the square of its hospitals.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from web3 import Web3
from web3.exceptions import BlockNotFound

from fedcxr.errors import ChainError
from fedcxr.ledger.connection import ContractConnection
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.transaction import translated

_ROUNDS = 3  # that are kept: the present one, the one before, of which is asked with it, and one to spare
_BLOCKS = 1 << 12  # whose hashes are kept

# Blocks that are read again with what has come since: of two nodes behind one URL, one may have named a block
# of which the other did not have the events yet.
_OVERLAP = 8


class Block(NamedTuple):
    """What is kept of a block of the chain; the time is in seconds."""

    number: int
    digest: bytes
    timestamp: int

    @classmethod
    def of(cls, block: Any) -> Self:
        return cls(int(block["number"]), bytes(block["hash"]), int(block["timestamp"]))


class ContractEvents:
    """Follows the events of one contract; threads may share it.

    What is kept holds as long as the block that was last seen is in the chain. Once that is gone, taken back
    by a reorganisation or another chain altogether, everything is read anew.
    """

    def __init__(self, connection: ContractConnection) -> None:
        self._connection = connection
        self._guard = threading.RLock()
        self._head: tuple[int, bytes] | None = None
        self._rounds: OrderedDict[int, RoundEvents] = OrderedDict()
        self._named: dict[str, Sequence[Any]] = {}
        self._blocks: OrderedDict[int, Block] = OrderedDict()
        self._held = 0  # how many go by the last look
        self._fresh = False  # whether it was made for the one that goes by it next
        self._begun_anew = False  # whether everything ever had to be read anew

    def goes_on(self) -> bool:
        """Whether the chain has had, since the first look, every block that was its newest at a look.

        What is seen for that is what the next :meth:`one_look` goes by, unless somebody holds an earlier one.

        Raises:
            ChainError: the chain does not answer.
        """
        with self._guard:
            self._look()
            self._fresh = not self._held
            return not self._begun_anew

    def forget(self) -> None:
        """Read everything anew from the next look on."""
        with self._guard:
            self._rounds.clear()
            self._named.clear()
            self._blocks.clear()

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Look once, and go by what was seen until the block ends: one state of the contract, in one request.

        Raises:
            ChainError: the chain does not answer.
        """
        with self._guard:
            if not self._fresh:
                self._look()
            self._fresh = False
            self._held += 1
        try:
            yield
        finally:
            with self._guard:
                self._held -= 1

    def head(self) -> tuple[int, bytes]:
        """Number and hash of the chain's newest block.

        Raises:
            ChainError: the chain does not answer.
        """
        with self._guard:
            return self._look()

    def block_hash(self, number: int) -> bytes | None:
        """Hash of a block in the chain of the last look, or else in the chain of now; None where it has none.

        Raises:
            ChainError: the chain does not answer.
        """
        block = self._block(number)
        return None if block is None else block.digest

    def timestamp(self, number: int) -> int:
        """Seconds of chain time of a block, as for :meth:`block_hash`.

        Raises:
            ChainError: the chain does not answer, or has no such block.
        """
        block = self._block(number)
        if block is None:
            raise ChainError(f"the chain has no block {number}.")
        return block.timestamp

    def of_round(self, number: int) -> RoundEvents:
        """Events of a round, all attempts, in their order; the same object as long as none has come.

        Raises:
            ChainError: the chain does not answer.
        """
        with self._guard:
            last = self._last()
            if number not in self._rounds:
                read = self._connection.events_of_round(number, last)
                self._rounds[number] = RoundEvents(number, tuple(read))
                while len(self._rounds) > _ROUNDS:
                    self._rounds.popitem(last=False)
            self._rounds.move_to_end(number)
            return self._rounds[number]

    def named(self, name: str) -> Sequence[Any]:
        """Events of a name, in their order; the same object as long as none has come.

        Raises:
            ChainError: the chain does not answer.
        """
        with self._guard:
            last = self._last()
            if name not in self._named:
                self._named[name] = tuple(self._connection.events(name, last))
            return self._named[name]

    def _last(self) -> int | None:
        """Number of the block up to which events are read."""
        return self._look()[0]

    def _block(self, number: int) -> Block | None:
        with self._guard:
            if number in self._blocks:
                return self._blocks[number]
            found = translated(lambda: _asked(self._connection.w3, number))
            if found is not None and self._head is not None and number <= self._head[0]:
                self._note(found)
            return found

    def _look(self) -> tuple[int, bytes]:
        """Read what has come since the last look, unless somebody goes by that one."""
        if self._head is not None and self._held:
            return self._head
        latest = translated(lambda: self._connection.w3.eth.get_block("latest"))
        block = Block.of(latest)
        head = block.number, block.digest
        if self._head is None or head == self._head:
            self._head = head
            return head
        if not self._continued_by(*head, bytes(latest["parentHash"])):
            self.forget()
            self._begun_anew = True
        elif self._rounds or self._named:
            self._read(max(self._head[0] + 1 - _OVERLAP, 0), head[0])
        self._head = head
        self._note(block)
        return head

    def _continued_by(self, number: int, digest: bytes, parent: bytes) -> bool:
        """Whether a chain with this newest block has the block that was the newest before."""
        assert self._head is not None
        before, seen = self._head
        if number <= before:
            return False
        if number == before + 1:
            return parent == seen
        there = translated(lambda: _asked(self._connection.w3, before))
        return there is not None and there.digest == seen

    def _read(self, first: int, last: int) -> None:
        """Take over the events of some blocks, in place of those that are kept of them."""
        known = {_identity(event): event for event in self._kept() if event["blockNumber"] >= first}
        read = []
        for log in self._connection.logs(first, last):
            event = known.get(_identity(log)) or self._connection.decoded(log)
            if event is not None and first <= event["blockNumber"] <= last:
                read.append(event)
        for number, events in self._rounds.items():
            new = [event for event in read if event["args"].get("round") == number]
            if (now := _joined(events.events, first, new)) is not events.events:
                self._rounds[number] = RoundEvents(number, now)
        for name, named in self._named.items():
            self._named[name] = _joined(named, first, [event for event in read if event["event"] == name])

    def _kept(self) -> Iterator[Any]:
        for events in self._rounds.values():
            yield from events.events
        for named in self._named.values():
            yield from named

    def _note(self, block: Block) -> None:
        self._blocks[block.number] = block
        while len(self._blocks) > _BLOCKS:
            self._blocks.popitem(last=False)


class StandingEvents(ContractEvents):
    """Of a history that stands still, as a proof of it does, which names no newest block."""

    def _last(self) -> None:
        return None


def _asked(w3: Web3, number: int) -> Block | None:
    try:
        return Block.of(w3.eth.get_block(number))
    except BlockNotFound:
        return None


def _joined(events: Sequence[Any], first: int, new: list[Any]) -> Sequence[Any]:
    """Events before a block, and new ones from it on; the very events where those from it on are the same."""
    begins = next((i for i, event in enumerate(events) if event["blockNumber"] >= first), len(events))
    same = len(events) - begins == len(new) and all(
        mine is theirs for mine, theirs in zip(events[begins:], new, strict=True)
    )
    return events if same else (*events[:begins], *new)


def _identity(event: Any) -> tuple[bytes, int]:
    """What tells an event from every other one: its block and its place there."""
    return bytes(event["blockHash"]), int(event["logIndex"])
