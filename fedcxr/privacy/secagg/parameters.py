"""How many may collude, be missing and be silent in a masked round: numbers that nobody chooses in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from fedcxr.errors import FederationError

PARTS = 10_000
"""Of a whole: ``privacy.colluders`` has four digits behind the point."""

COMPLETE = 50
"""Participants up to which everyone shares a mask with everyone."""

FEW = 4
"""Summands below which two others are all that hide an update from a hospital in the sum."""


@dataclass(frozen=True)
class RoundNumbers:
    """The numbers of one attempt with a complete graph.

    Attributes:
        participants: n, that the contract named when it opened the attempt.
        colluders: c, of them that may collude with the coordinator.
        smallest: m, the members of the smallest set that a hospital unmasks for.
        threshold: t, shares that give a self-mask's seed, of its owner's n − 1 neighbours.
    """

    participants: int
    colluders: int
    smallest: int
    threshold: int

    @classmethod
    def of(cls, participants: int, hospitals: int, parts: int) -> Self:
        """The numbers of a federation's attempt.

        Args:
            participants: of the attempt.
            hospitals: N, of the federation, of whom the coordinator picked the participants: the colluders
                are counted among all of them, or it would pick a victim and its own.
            parts: ``privacy.colluders`` in 1/10,000.

        Raises:
            FederationError: there are no numbers that keep an update hidden among so few, or it is more than
                a complete graph has.
        """
        if not 3 <= participants <= COMPLETE:
            raise FederationError(
                f"a masked round has 3 to {COMPLETE} participants, and this one {participants}."
            )
        if hospitals < participants:
            raise FederationError(f"{participants} participants of {hospitals} hospitals.")
        colluders = parts * (hospitals - 1) // PARTS
        smallest = max(3, -(-(participants + colluders + 2) // 2))
        threshold = participants + colluders + 1 - smallest
        if participants < colluders + 2 or smallest > participants:
            raise FederationError(
                f"of {participants} participants {colluders} may collude: a sum could be one hospital's."
            )
        return cls(participants, colluders, smallest, threshold)

    @property
    def warning(self) -> str:
        """What is to be said of so few participants; empty where there are enough."""
        if self.participants >= FEW:
            return ""
        return (
            f"{self.participants} hospitals mask their updates: each of them sees the sum of the "
            f"{self.participants - 1} others"
        )

    @property
    def missing(self) -> int:
        """Participants that may be missing when the round is closed."""
        return self.participants - self.smallest

    @property
    def fewest_honest(self) -> int:
        """Honest summands of any sum that a coordinator can get, whatever it shows to whom."""
        return self.threshold + self.smallest - self.participants - self.colluders + 1
