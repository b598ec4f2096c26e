"""What an audit was asked to look at: all of a federation, some of its rounds, or one hospital."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from web3 import Web3

from fedcxr.errors import ConfigError


@dataclass(frozen=True)
class Scope:
    """Rounds and hospital; what lies outside is listed as unchecked, and nothing is then proven of the whole.

    Attributes:
        first: 1-based.
        last: None up to the last finalized round.
        hospital: checksummed address; empty for all.
    """

    first: int = 1
    last: int | None = None
    hospital: str = ""

    @classmethod
    def parse(cls, rounds: str, hospital: str) -> Scope:
        """From ``3-7`` or ``5`` and an address; either may be empty.

        Raises:
            ConfigError: neither a round nor a range, or no address.
        """
        first, last = 1, None
        if rounds:
            match = re.fullmatch(r"([1-9]\d{0,9})(?:-([1-9]\d{0,9}))?", rounds)
            if match is None or int(match[2] or match[1]) < int(match[1]):
                raise ConfigError(
                    f"rounds (--rounds) {rounds}: write a first and a last, as in 3-7, or a single round: 5."
                )
            first, last = int(match[1]), int(match[2] or match[1])
        if hospital and not Web3.is_address(hospital):
            raise ConfigError(f"hospital (--hospital) {hospital}: not a ledger address.")
        return cls(first, last, Web3.to_checksum_address(hospital) if hospital else "")

    @property
    def whole(self) -> bool:
        return self == Scope()

    @property
    def part(self) -> bool:
        """Whether some of the rounds were asked for, and not all."""
        return (self.first, self.last) != (1, None)

    def rounds(self, finalized: int) -> range:
        """The finalized rounds to look at.

        Raises:
            ConfigError: there are none.
        """
        last = finalized if self.last is None else min(self.last, finalized)
        if self.first > max(last, 1):
            raise ConfigError(
                f"rounds (--rounds) from {self.first}: the last finalized round is {finalized}."
            )
        return range(self.first, last + 1)

    def rounds_and_next(self, finalized: int) -> range:
        """:meth:`rounds`; with the last of them, also the one that follows, which may have been opened."""
        rounds = self.rounds(finalized)
        return range(rounds.start, finalized + 2) if rounds.stop > finalized else rounds

    def left_out(self, finalized: int) -> Iterable[str]:
        """What this scope does not look at, in words."""
        rounds = self.rounds(finalized)
        for first, last in ((1, rounds.start - 1), (rounds.stop, finalized)):
            if first <= last:
                yield (
                    f"rounds {first} to {last}: not asked for"
                    if first < last
                    else f"round {first}: not asked for"
                )
        if self.last is not None and self.last > finalized:
            yield f"rounds {finalized + 1} to {self.last}: not finalized"
        if self.hospital:
            yield f"updates of other hospitals than {self.hospital}, and all sums: not asked for"
