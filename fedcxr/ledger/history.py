"""What happened on a federation's contract besides what became of its rounds, from its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fedcxr.ledger.seats import from_bitmap
from fedcxr.ledger.signing import HOSPITAL
from fedcxr.ledger.views import FederationViews


@dataclass(frozen=True)
class AbortedAttempt:
    """An opening of a round that was given up.

    Attributes:
        attempt: 1-based.
        participants: addresses, in the order of opening.
        accepted: those whose updates the contract had accepted by then; they count no more.
        by: who gave it up.
        reason: as they gave it.
    """

    attempt: int
    participants: tuple[str, ...]
    accepted: tuple[str, ...] = ()
    by: str = ""
    reason: str = ""


def aborted_attempts(ledger: FederationViews, number: int) -> list[AbortedAttempt]:
    """The attempts at a round that were given up, in their order."""
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
    able: dict[int, str] = {}
    for event in membership(ledger):
        if (event["blockNumber"], event["logIndex"]) > (opened["blockNumber"], opened["logIndex"]):
            break
        values = event["args"]
        match event["event"]:
            case "MemberJoined" if values["roles"] & HOSPITAL:
                able[values["seat"]] = values["member"]
            case "KeyRotated" if values["seat"] in able:
                able[values["seat"]] = values["successor"]
            case "MemberSuspended" | "MemberLeft":
                able.pop(values["seat"], None)
            case "MemberReinstated" if ledger.members()[values["seat"]].roles & HOSPITAL:
                able[values["seat"]] = values["member"]
    asked = set(from_bitmap(opened["args"]["seats"]))
    return sorted(address for seat, address in able.items() if seat not in asked)


def relays(ledger: FederationViews, number: int) -> dict[str, str]:
    """Who brought each hospital's last accepted update of a round to the contract: hospital → sender."""
    return {
        event["args"]["hospital"]: ledger.sender(event) for event in ledger.events("UpdateAccepted", number)
    }


def membership(ledger: FederationViews) -> list[Any]:
    """What became of members, in order."""
    names = ("MemberJoined", "KeyRotated", "MemberSuspended", "MemberReinstated", "MemberLeft")
    events = [event for name in names for event in ledger.events(name)]
    return sorted(events, key=lambda event: (event["blockNumber"], event["logIndex"]))
