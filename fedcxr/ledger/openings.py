"""What the court is shown of one update in a challenged sum, and how much of that fits into a transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fedcxr.ledger.signing import Submission, as_tuple

MOST_GAS = 15_000_000
"""Of one transaction; EIP-7825 allows 2^24."""

BASE_GAS = 1_000_000
"""Of a transaction without openings: the context of fifty, the aggregate's leaf, the tables of AES."""

_OPENING_GAS = 400_000  # the submission's hash, and three leaves with their paths
_SEED_GAS = 32_000  # a commitment, and one block of AES with its key schedule
_BYTE_GAS = 40  # the floor of EIP-7623


@dataclass(frozen=True)
class SubmissionOpening:
    """One included update, opened at the challenged chunk: the contract's struct ``Opening``.

    Attributes:
        submission: what the hospital signed.
        leaf: the challenged chunk of the update's vector.
        path: the chunk's audit path under the update's root.
        signature, place: the hospital's signature and the submission's path under the round's root; only
            where one root records all.
    """

    submission: Submission
    leaf: bytes
    path: Sequence[bytes]
    signature: bytes = b""
    place: Sequence[bytes] = ()

    @property
    def struct(self) -> tuple[Any, ...]:
        """The fields of the contract's struct."""
        return (as_tuple(self.submission), self.leaf, list(self.path), self.signature, list(self.place))


@dataclass(frozen=True)
class MaskedOpening:
    """One included update, opened at the challenged word: the contract's struct of this name.

    Attributes:
        submission: what the hospital signed.
        leaves: the header's first leaf, its second where a commitment is in it, and the one with the word.
        paths: their audit paths under the update's root.
        seeds: of its own mask, and those that it shares with participants who are not in the sum, by seat.
        signature, place: the hospital's signature and the submission's path under the round's root; only
            where one root records all.
    """

    submission: Submission
    leaves: Sequence[bytes]
    paths: Sequence[Sequence[bytes]]
    seeds: Sequence[bytes]
    signature: bytes = b""
    place: Sequence[bytes] = ()

    @property
    def struct(self) -> tuple[Any, ...]:
        """The fields of the contract's struct."""
        return (
            as_tuple(self.submission),
            self.signature,
            list(self.place),
            list(self.leaves),
            [list(path) for path in self.paths],
            list(self.seeds),
        )

    @property
    def gas(self) -> int:
        """A limit for what it costs."""
        words = len(self.place) + len(self.seeds) + sum(map(len, self.paths)) + 40
        size = sum(map(len, self.leaves)) + 32 * words
        return max(_OPENING_GAS + _SEED_GAS * len(self.seeds), _BYTE_GAS * size)


def in_transactions(openings: Sequence[MaskedOpening]) -> Iterator[tuple[list[MaskedOpening], int]]:
    """The openings in as many parts as transactions are needed, each with a limit for its gas."""
    part: list[MaskedOpening] = []
    gas = BASE_GAS
    for opening in openings:
        if part and gas + opening.gas > MOST_GAS:
            yield part, gas
            part, gas = [], BASE_GAS
        part.append(opening)
        gas += opening.gas
    yield part, gas
