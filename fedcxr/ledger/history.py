"""The history of a federation from its contract's events: aborted attempts, members, who relayed what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fedcxr.ledger.membership_events import MEMBERSHIP_EVENTS, MemberState, follow
from fedcxr.ledger.seats import from_bitmap
from fedcxr.ledger.signing import HOSPITAL
from fedcxr.ledger.views import FederationViews


@dataclass(frozen=True)
class AbortedAttempt:
    """An attempt at a round that was aborted.

    Attributes:
        attempt: 1-based.
        participants: addresses, in the order of opening.
        accepted: hospitals whose updates the contract had accepted by then; they count no more.
        by: address of who aborted it.
        reason: given by whoever aborted it.
    """

    attempt: int
    participants: tuple[str, ...]
    accepted: tuple[str, ...] = ()
    by: str = ""
    reason: str = ""


def aborted_attempts(ledger: FederationViews, number: int) -> list[AbortedAttempt]:
    """The attempts at a round that were aborted, in their order."""
    aborted = []
    for attempt in ledger.round_events(number).attempts:
        for values in attempt.of("RoundAborted"):
            opening = attempt.of("RoundOpened")[0]
            aborted.append(
                AbortedAttempt(
                    attempt=opening["attempt"],
                    participants=tuple(opening["participants"]),
                    accepted=tuple(update["hospital"] for update in attempt.of("UpdateAccepted")),
                    by=values["by"],
                    reason=values["reason"],
                )
            )
    return aborted


def not_asked(ledger: FederationViews, number: int) -> list[str]:
    """Hospitals that could have taken part when a round was last opened, and were not asked."""
    opened = ledger.events("RoundOpened", number)[-1]
    before = [event for event in membership(ledger) if _place(event) < _place(opened)]
    asked = set(from_bitmap(opened["args"]["seats"]))
    return sorted(
        member.account
        for member in members_after(before).values()
        if member.standing == "active" and member.roles & HOSPITAL and member.seat not in asked
    )


def relays(ledger: FederationViews, number: int) -> dict[str, str]:
    """The sender of the transaction with each hospital's last accepted update of a round, by hospital."""
    return {
        event["args"]["hospital"]: ledger.sender(event) for event in ledger.events("UpdateAccepted", number)
    }


def membership(ledger: FederationViews) -> list[Any]:
    """The contract's events about members, in the chain's order."""
    return sorted((event for name in MEMBERSHIP_EVENTS for event in ledger.events(name)), key=_place)


def members_after(events: Iterable[Any]) -> dict[int, MemberState]:
    """The state of every seat after these events about members, which must be in the chain's order.

    Raises:
        LedgerError: an event is about a seat at which nobody has joined.
    """
    states: dict[int, MemberState] = {}
    for event in events:
        follow(states, event["event"], event["args"])
    return states


def _place(event: Any) -> tuple[int, int]:
    """Where on the chain an event stands."""
    return event["blockNumber"], event["logIndex"]
