"""A round that a hospital is asked to train in, as the hospital itself reads it on the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.round_rules import Opening
from fedcxr.ledger.views import FederationViews


@dataclass(frozen=True)
class OpenRound:
    """An open round; without a ledger its weight alone is known, and that is the server's word.

    Attributes:
        number: 1-based.
        attempt: 1-based.
        base: digest of the model that it starts from.
        address: of this hospital.
        weight: of this hospital.
        view: as the contract holds it.
        ledger: the contract.
    """

    number: int
    attempt: int
    base: bytes
    address: str
    weight: int
    view: RoundView | None = None
    ledger: FederationViews | None = None

    @property
    def largest_other_share(self) -> float | None:
        """Of the round's weight, of the participant who has most of it besides this hospital."""
        if self.view is None:
            return None
        weights = self.view.weights
        others = [weight for address, weight in weights.items() if address != self.address]
        return max(others, default=0) / sum(weights.values())

    @cached_property
    def opening(self) -> Opening | None:
        """How this attempt was opened; None without a ledger."""
        if self.ledger is None:
            return None
        opened = self.ledger.round_events(self.number).attempts[-1].events[0]
        return Opening.of(self.ledger, opened, self.ledger.registered_samples())

    @property
    def seconds(self) -> int | None:
        """Of chain time, from the opening of this attempt to its deadline."""
        return None if self.opening is None else self.opening.seconds
