"""A federation's contract by its events alone: what its storage says is asked of nobody.

Events are what a chain proves from its headers, and what an export holds. So an audit of a chain, and the
verification of an export without one, ask the same questions here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from fedcxr.errors import ContractRejectedError, LedgerError
from fedcxr.ledger.connection import ContractConnection
from fedcxr.ledger.contract_events import StandingEvents
from fedcxr.ledger.court import DisputeCourt
from fedcxr.ledger.error_help import help_for
from fedcxr.ledger.history import members_after, membership
from fedcxr.ledger.membership_events import MemberState
from fedcxr.ledger.protocol import MemberView
from fedcxr.ledger.recorded import Recorded
from fedcxr.ledger.views import FederationViews


class EventViews(FederationViews):
    """The views that events answer; any other asks the contract, as :class:`FederationViews` does.

    It is of a history that stands still: what was read once is not read again.
    """

    def __init__(self, connection: ContractConnection) -> None:
        super().__init__(connection)
        self._events = StandingEvents(connection)

    @classmethod
    def of(cls, ledger: FederationViews) -> EventViews:
        """The same contract, by its events."""
        return cls(ContractConnection(ledger.w3, ledger.address))

    @cached_property
    def federation(self) -> bytes:
        return self.deployment_parameters.federation

    @cached_property
    def layout_digest(self) -> bytes:
        return self.deployment_parameters.layout_digest

    @cached_property
    def config_digest(self) -> bytes:
        return self.deployment_parameters.config_digest

    @cached_property
    def genesis_digest(self) -> bytes:
        return self.deployment_parameters.genesis_digest

    @cached_property
    def weighting(self) -> str:
        return self.deployment_parameters.weighting

    @cached_property
    def recording(self) -> Recorded:
        return Recorded(self.deployment_parameters.recording)

    @cached_property
    def court(self) -> str:
        (created,) = self._created
        return str(created["args"]["court"])

    @property
    def coordinator(self) -> str:
        return self.coordinators[-1]

    @cached_property
    def coordinators(self) -> list[str]:
        """The account that created the contract, and those that it was handed on to."""
        (created,) = self._created
        changed = self.events("CoordinatorChanged")
        return [self.sender(created), *(str(event["args"]["successor"]) for event in changed)]

    @property
    def last_finalized(self) -> int:
        return len(self.finalized)

    @property
    def model_digest(self) -> bytes:
        return bytes(self.finalized[-1]["modelDigest"]) if self.finalized else self.genesis_digest

    def members(self) -> list[MemberView]:
        states = self._members
        return [
            MemberView(
                m.seat, m.account, m.samples, m.roles, m.standing, hashlib.sha256(m.envelope_key).digest()
            )
            for m in (states[seat] for seat in sorted(states))
        ]

    def seat_of(self, address: str) -> int:
        if (seat := self._seat_of.get(address)) is None:
            raise ContractRejectedError("NotRegistered", (address,), help_for("NotRegistered"))
        return seat

    @cached_property
    def finalized(self) -> list[Any]:
        """The values of each finalization, in the chain's order."""
        return [event["args"] for event in self.events("RoundFinalized")]

    @cached_property
    def changes(self) -> list[Any]:
        """The events about members, in the chain's order."""
        return membership(self)

    @cached_property
    def disputed(self) -> set[int]:
        """The rounds of which the court has announced that a challenge succeeded."""
        return DisputeCourt(self.w3, self.court).disputed_by_events()

    def seeds_published(self, number: int, attempt: int) -> list[bytes]:
        """The roots under which the coordinator has published the seeds of an attempt at a masked round."""
        return DisputeCourt(self.w3, self.court).seeds_published(number, attempt)

    @cached_property
    def _created(self) -> list[Any]:
        created = self.events("FederationCreated")
        if len(created) != 1:
            raise LedgerError(
                f"{self.address}: {len(created)} records of its creation, where one is expected."
            )
        return created

    @cached_property
    def _members(self) -> Mapping[int, MemberState]:
        return members_after(self.changes)

    @cached_property
    def _seat_of(self) -> Mapping[str, int]:
        return {account: m.seat for m in self._members.values() for account in m.accounts}
