"""Where a round stands, in the words of the contract's enum ``Phase``."""

from __future__ import annotations

from enum import StrEnum


class RoundPhase(StrEnum):
    """The phases of a round, in the order in which the contract numbers them."""

    NONE = "none"
    OPEN = "open"
    CLOSED = "closed"
    VALIDATED = "validated"
    FINALIZED = "finalized"
    ABORTED = "aborted"

    @classmethod
    def numbered(cls, number: int) -> RoundPhase:
        """The phase that the contract means by a number.

        Raises:
            IndexError: it has no such phase.
        """
        return tuple(cls)[number]

    @property
    def number(self) -> int:
        """The contract's number of the phase."""
        return tuple(type(self)).index(self)

    @property
    def in_progress(self) -> bool:
        """Whether the round can still be finalized."""
        return self in (RoundPhase.OPEN, RoundPhase.CLOSED, RoundPhase.VALIDATED)


BEGUN_BY: dict[str, RoundPhase] = {
    "RoundOpened": RoundPhase.OPEN,
    "RoundClosed": RoundPhase.CLOSED,
    "RoundValidated": RoundPhase.VALIDATED,
    "RoundFinalized": RoundPhase.FINALIZED,
    "RoundAborted": RoundPhase.ABORTED,
}
"""The phase that each of the contract's events begins."""
