"""What happened on a federation's contract besides what became of its rounds, from its events."""

from __future__ import annotations

from dataclasses import dataclass, field

from fedcxr.ledger.views import FederationViews


@dataclass(frozen=True)
class AbortedAttempt:
    """An opening of a round that was given up.

    Attributes:
        attempt: 1-based.
        participants: addresses, in the order of opening.
        accepted: those whose updates the contract had accepted by then; they count no more.
        reason: as the coordinator gave it.
    """

    attempt: int
    participants: tuple[str, ...]
    accepted: tuple[str, ...] = ()
    reason: str = ""


@dataclass
class _Opening:
    """An attempt while its events are read."""

    attempt: int
    participants: tuple[str, ...]
    accepted: list[str] = field(default_factory=list)


def aborted_attempts(ledger: FederationViews, number: int) -> list[AbortedAttempt]:
    """The attempts at a round that were given up, in their order."""
    events = [
        event
        for name in ("RoundOpened", "UpdateAccepted", "RoundAborted")
        for event in ledger.events(name, number)
    ]
    events.sort(key=lambda event: (event["blockNumber"], event["logIndex"]))
    aborted = []
    opening = _Opening(0, ())
    for event in events:
        values = event["args"]
        if event["event"] == "RoundOpened":
            opening = _Opening(values["attempt"], tuple(values["participants"]))
        elif event["event"] == "UpdateAccepted":
            opening.accepted.append(values["hospital"])
        else:
            accepted = tuple(opening.accepted)
            aborted.append(AbortedAttempt(opening.attempt, opening.participants, accepted, values["reason"]))
    return aborted


def not_asked(ledger: FederationViews, number: int) -> list[str]:
    """Hospitals that were registered when a round was last opened, and are not among its participants."""
    opened = ledger.events("RoundOpened", number)[-1]
    return sorted(
        event["args"]["hospital"]
        for event in ledger.events("HospitalRegistered")
        if (event["blockNumber"], event["logIndex"]) < (opened["blockNumber"], opened["logIndex"])
        and event["args"]["hospital"] not in opened["args"]["participants"]
    )


def relays(ledger: FederationViews, number: int) -> dict[str, str]:
    """Who brought each hospital's last accepted update of a round to the contract: hospital → sender."""
    return {
        event["args"]["hospital"]: ledger.sender(event) for event in ledger.events("UpdateAccepted", number)
    }
