"""What a federation's contract binds of every round, besides what it was deployed with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:  # pydantic takes long, and a question to the ledger does not need it
    from fedcxr.config import Config

WHOLE = 10_000
"""Parts of the weight that shares are counted in."""


@dataclass(frozen=True)
class Bounds:
    """The contract's struct of this name, with its fields in its order; 0 binds nothing.

    Attributes:
        rounds: how many there are; an aborted one's next attempt has its number.
        shortest_deadline: seconds for which a round must be open at least, from the block that opens it.
        largest_share: of a round's weight that one hospital may have, in 1/10,000.
    """

    rounds: int = 0
    shortest_deadline: int = 0
    largest_share: int = 0

    def as_tuple(self) -> tuple[int, int, int]:
        """The values as the ABI has them."""
        return astuple(self)

    @classmethod
    def from_tuple(cls, values: Sequence[Any]) -> Self:
        """Read :meth:`as_tuple` back."""
        return cls(*map(int, values))

    @property
    def fewest(self) -> int:
        """Hospitals without which one of them has more than the largest share; 0 where shares are free."""
        return math.ceil(WHOLE / self.largest_share) if self.largest_share else 0

    def __str__(self) -> str:
        rounds = f"{self.rounds:,} rounds" if self.rounds else "any number of rounds"
        deadline = f"each open for {self.shortest_deadline:,} s at least" if self.shortest_deadline else ""
        share = f"{self.largest_share / WHOLE:.2%} of the weight at most for one hospital"
        free = "no bound on a hospital's share of the weight"
        return ", ".join(filter(None, (rounds, deadline, share if self.largest_share else free)))


UNBOUND = Bounds()
"""What an earlier contract binds, which has no such struct."""


def configured_bounds(config: Config) -> Bounds:
    """The bounds that follow from a configuration."""
    return Bounds(
        rounds=config.federation.total_rounds,
        shortest_deadline=min(config.ledger.shortest_deadline, 2**32 - 1),
        largest_share=config.federation.share_parts,
    )
