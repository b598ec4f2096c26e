"""The header of a masked update: what its hospital commits to, in whole leaves before the vector.

There is one form of it for one content, so that a root has one meaning; anything else is no header.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from fedcxr.errors import EnvelopeError
from fedcxr.privacy.keys import KemName
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.privacy.secagg.seeds import LENGTH
from fedcxr.update.merkle import LEAF_SIZE

MAGIC = b"fedcxr/masked/1\n"
ENTRIES = 24
"""Attempts of one round with a vector of a hospital's that it can tell of; then it takes no further part."""

SEALED: Mapping[KemName, int] = {"X25519": 32 + 33 + 16, "MLKEM768_X25519": 1120 + 33 + 16}
"""e, bytes of a sealed share: an encapsulated key, a share of 33 bytes and a tag."""

_HISTORY = 128
_ENTRY = 72
PAIRS = _HISTORY + ENTRIES * _ENTRY
"""Where the commitments begin: a multiple of their 64 bytes, so that no two of a pair lie in two leaves."""

_PAIR = 2 * LENGTH
_ANSWERED = 1


@dataclass(frozen=True)
class HistoryEntry:
    """An earlier attempt of the round in which the hospital sent a vector.

    Attributes:
        attempt: 1-based.
        context: of that attempt.
        answered: digest of the set that it unmasked for; zeros where it answered nothing.
    """

    attempt: int
    context: bytes
    answered: bytes = bytes(LENGTH)

    def to_bytes(self) -> bytes:
        flags = _ANSWERED * any(self.answered)
        return self.attempt.to_bytes(4) + flags.to_bytes(4) + self.context + self.answered

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises EnvelopeError where the bytes are another entry's, or none's."""
        entry = cls(int.from_bytes(data[:4]), data[8:40], data[40:])
        if entry.to_bytes() != data or entry.attempt == 0:
            raise EnvelopeError("a history of attempts that is none.")
        return entry


class Commitments(NamedTuple):
    """What a header has for one neighbour.

    Attributes:
        pair: to the seed that both share.
        share: to the share of the self-mask's seed that the neighbour gets.
        sealed: that share, sealed to the neighbour.
    """

    pair: bytes
    share: bytes
    sealed: bytes


@dataclass(frozen=True)
class HeaderFacts:
    """The fields of a header that stand in its first leaf.

    Attributes:
        context: of the attempt.
        seat: of the sender.
        neighbours: k.
        sealed: e, bytes of a sealed share.
        values: d, words of the vector.
        self_commitment: to the self-mask's seed.
        history: earlier attempts with a vector, rising.
    """

    context: bytes
    seat: int
    neighbours: int
    sealed: int
    values: int
    self_commitment: bytes
    history: tuple[HistoryEntry, ...] = ()

    def to_bytes(self) -> bytes:
        """The first bytes of the header, up to the commitments."""
        numbers = (self.seat, self.neighbours, self.sealed, 0)
        history = b"".join(entry.to_bytes() for entry in self.history)
        if len(self.history) > ENTRIES:
            raise EnvelopeError(f"{len(self.history)} attempts, where a header has room for {ENTRIES}.")
        return b"".join(
            (
                MAGIC,
                self.context,
                *(number.to_bytes(2) for number in numbers),
                self.values.to_bytes(8),
                self.self_commitment,
                bytes(LENGTH),
                history.ljust(ENTRIES * _ENTRY, b"\0"),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read them back from bytes that begin with them.

        Raises:
            EnvelopeError: they are none.
        """
        if len(data) < PAIRS or data[:16] != MAGIC:
            raise EnvelopeError("no masked update.")
        entries = [data[at : at + _ENTRY] for at in range(_HISTORY, PAIRS, _ENTRY)]
        while entries and not any(entries[-1]):
            entries.pop()
        facts = cls(
            context=data[16:48],
            seat=int.from_bytes(data[48:50]),
            neighbours=int.from_bytes(data[50:52]),
            sealed=int.from_bytes(data[52:54]),
            values=int.from_bytes(data[56:64]),
            self_commitment=data[64:96],
            history=tuple(map(HistoryEntry.from_bytes, entries)),
        )
        attempts = [entry.attempt for entry in facts.history]
        if facts.to_bytes() != data[:PAIRS] or attempts != sorted(set(attempts)):
            raise EnvelopeError("the header of a masked update is not in the one form that it has.")
        return facts

    @property
    def leaves(self) -> int:
        """h, leaves of the whole header."""
        return header_leaves(self.neighbours, self.sealed)

    @property
    def size(self) -> int:
        """Bytes of the whole update."""
        return self.leaves * LEAF_SIZE + 4 * self.values

    def places(self, index: int) -> list[int]:
        """The leaves that hold the first fields and all that is the ``index``-th neighbour's, rising."""
        pair = PAIRS + index * _PAIR
        sealed = PAIRS + self.neighbours * _PAIR + index * self.sealed
        bytes_ = ((0, PAIRS), (pair, pair + _PAIR), (sealed, sealed + self.sealed))
        return sorted(
            {leaf for begin, end in bytes_ for leaf in range(begin // LEAF_SIZE, (end - 1) // LEAF_SIZE + 1)}
        )

    def pair_leaf(self, index: int) -> int:
        """The leaf with the commitment to the seed that the ``index``-th neighbour shares."""
        return (PAIRS + index * _PAIR) // LEAF_SIZE

    def commitments(self, leaves: Mapping[int, bytes], index: int) -> Commitments:
        """What the header has for its ``index``-th neighbour.

        Args:
            leaves: of the header, by place; those of :meth:`places` at least.
            index: of the neighbour, by rising seat.
        """
        pair = PAIRS + index * _PAIR
        sealed = PAIRS + self.neighbours * _PAIR + index * self.sealed
        both = _taken(leaves, pair, _PAIR)
        return Commitments(both[:LENGTH], both[LENGTH:], _taken(leaves, sealed, self.sealed))


@dataclass(frozen=True)
class MaskedHeader:
    """A whole header.

    Attributes:
        facts: of its first leaf.
        commitments: one for each neighbour, by rising seat.
    """

    facts: HeaderFacts
    commitments: tuple[Commitments, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """Whole leaves."""
        body = b"".join(
            (
                self.facts.to_bytes(),
                *(each.pair + each.share for each in self.commitments),
                *(each.sealed for each in self.commitments),
            )
        )
        return body.ljust(self.facts.leaves * LEAF_SIZE, b"\0")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a header back; more bytes may follow it.

        Raises:
            EnvelopeError: it is none.
        """
        facts = HeaderFacts.from_bytes(bytes(data[:PAIRS]))
        data = bytes(data[: facts.leaves * LEAF_SIZE])
        if len(data) < facts.leaves * LEAF_SIZE:
            raise EnvelopeError("the header of a masked update is cut short.")
        leaves = dict(enumerate(split(data)))
        header = cls(facts, tuple(facts.commitments(leaves, index) for index in range(facts.neighbours)))
        if header.to_bytes() != data:
            raise EnvelopeError("the header of a masked update is not in the one form that it has.")
        return header


def check_header(attempt: MaskedAttempt, seat: int, facts: HeaderFacts) -> None:
    """See that a header is of the hospital in a seat of an attempt.

    Raises:
        EnvelopeError: it is not; says in what.
    """
    key = attempt.of(seat).key
    expected = HeaderFacts(
        context=attempt.context,
        seat=seat,
        neighbours=attempt.degree,
        sealed=SEALED[key.kem],
        values=attempt.values,
        self_commitment=facts.self_commitment,
        history=facts.history,
    )
    for what in ("context", "seat", "neighbours", "sealed", "values"):
        if (said := getattr(facts, what)) != (due := getattr(expected, what)):
            shown = said.hex() if isinstance(said, bytes) else said
            raise EnvelopeError(
                f"the header of seat {seat} has {what} {shown}, where the ledger has "
                f"{due.hex() if isinstance(due, bytes) else due}."
            )
    if any(entry.attempt >= attempt.attempt for entry in facts.history):
        raise EnvelopeError(f"the header of seat {seat} tells of attempts that are not before this one.")


def header_leaves(neighbours: int, sealed: int) -> int:
    """h, leaves of a header with so many neighbours and sealed shares of so many bytes."""
    return -(-(PAIRS + neighbours * (_PAIR + sealed)) // LEAF_SIZE)


def split(data: bytes) -> Sequence[bytes]:
    """Whole leaves, one after the other."""
    return [data[at : at + LEAF_SIZE] for at in range(0, len(data), LEAF_SIZE)]


def _taken(leaves: Mapping[int, bytes], begin: int, length: int) -> bytes:
    first, last = begin // LEAF_SIZE, (begin + length - 1) // LEAF_SIZE
    joined = b"".join(leaves[leaf] for leaf in range(first, last + 1))
    return joined[begin - first * LEAF_SIZE :][:length]
