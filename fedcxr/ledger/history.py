"""The history of a federation from its contract's events: aborted attempts, members, who brought what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fedcxr.ledger.membership_events import MEMBERSHIP_EVENTS, MemberState, follow
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.seats import from_bitmap
from fedcxr.ledger.signing import HOSPITAL
from fedcxr.ledger.views import FederationViews


@dataclass(frozen=True)
class AbortedAttempt:
    """An attempt at a round that was aborted.

    Attributes:
        attempt: 1-based.
        participants: addresses, in the order of opening.
        accepted: hospitals whose updates the contract had accepted by then, by seat; they count no more.
        by: address of who aborted it.
        reason: given by whoever aborted it.
    """

    attempt: int
    participants: tuple[str, ...]
    accepted: Mapping[int, str] = field(default_factory=dict)
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
                    accepted=accepted_seats(ledger, attempt),
                    by=values["by"],
                    reason=values["reason"],
                )
            )
    return aborted


def not_asked(ledger: FederationViews, number: int) -> list[str]:
    """Hospitals that could have taken part when a round was last opened, and were not asked."""
    opened = ledger.round_events(number).attempts[-1].events[0]
    before = [event for event in membership(ledger) if place_of(event) < place_of(opened)]
    asked = set(from_bitmap(opened["args"]["seats"]))
    return sorted(
        member.account
        for member in members_after(before).values()
        if member.standing == "active" and member.roles & HOSPITAL and member.seat not in asked
    )


def brought_by(ledger: FederationViews, number: int, hospital: str) -> str:
    """Who sent the transaction with a hospital's accepted update of a round's latest attempt.

    Where one root records all, the coordinator brought what no transaction has.
    """
    for event in ledger.round_events(number).attempts[-1].events:
        if event["event"] == "UpdateAccepted" and event["args"]["hospital"] == hospital:
            return ledger.sender(event)
    return ledger.coordinator


def accepted_seats(ledger: FederationViews, attempt: RoundEvents) -> dict[int, str]:
    """The seats whose updates an attempt had accepted, each with an account of it.

    Where one root records all, the contract says which they are when the attempt is closed.
    """
    came = {ledger.seat_of(v["hospital"]): str(v["hospital"]) for v in attempt.of("UpdateAccepted")}
    closed = attempt.of("RoundClosed")
    if not closed:
        return came
    asked = asked_seats(attempt)
    return {seat: came.get(seat) or asked[seat] for seat in from_bitmap(closed[-1]["accepted"])}


def asked_seats(attempt: RoundEvents) -> dict[int, str]:
    """The seats that an attempt asked, with the accounts that they had when it was opened."""
    opening = attempt.of("RoundOpened")[0]
    return dict(zip(from_bitmap(opening["seats"]), map(str, opening["participants"]), strict=True))


def membership(ledger: FederationViews) -> list[Any]:
    """The contract's events about members, in the chain's order."""
    return sorted((event for name in MEMBERSHIP_EVENTS for event in ledger.events(name)), key=place_of)


def members_after(events: Iterable[Any]) -> dict[int, MemberState]:
    """The state of every seat after these events about members, which must be in the chain's order.

    Raises:
        LedgerError: an event is about a seat at which nobody has joined.
    """
    states: dict[int, MemberState] = {}
    for event in events:
        follow(states, event["event"], event["args"])
    return states


def place_of(event: Any) -> tuple[int, int]:
    """Where on the chain an event stands."""
    return event["blockNumber"], event["logIndex"]
