"""What the contract's code would not have let happen, looked for among its events.

Where a chain is executed again the code has seen to all of this. Where events are only proven from headers,
as of an endpoint or an export, whoever made the headers may have made the events: signatures of others they
cannot make, and what they made has to fit together like what the code makes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from fedcxr.audit.findings import AuditReport
from fedcxr.errors import ContractRejectedError, FedcxrError, LedgerError
from fedcxr.ledger.bounds import UNBOUND, WHOLE
from fedcxr.ledger.event_views import EventViews
from fedcxr.ledger.history import accepted_seats, asked_seats, members_after, place_of
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.rules import assign_weights, beyond_share
from fedcxr.ledger.seats import from_bitmap
from fedcxr.ledger.signing import Refusal, Registration, Struct, recover

_Fault = tuple[str, object, object]  # what, expected, found
Timestamp = Callable[[int], int]  # of a block, by its number
CONTRADICTIONS = (FedcxrError, LookupError, ValueError, TypeError, StopIteration)
"""What reading raises where events do not fit together: the contract's do, and a stranger's may not."""


def check_record(ledger: EventViews, numbers: range, timestamp: Timestamp, report: AuditReport) -> None:
    """Hold the events about members and about these rounds to the contract's rules.

    Args:
        ledger: the contract, by its events.
        numbers: finalized rounds.
        timestamp: seconds of chain time of a block.
        report: what findings are added to.

    """
    try:
        for what, expected, found in _registrations(ledger):
            report.find(what, _shown(expected), _shown(found))
        for number in numbers:
            for what, expected, found in _round(ledger, number, timestamp):
                report.find(what, _shown(expected), _shown(found), number)
    except CONTRADICTIONS as error:
        report.find("the contract's events", "those of a federation", contradiction(error))


def contradiction(error: Exception) -> str:
    """What is said of events that do not fit together, by what came of reading them."""
    return str(error) if isinstance(error, FedcxrError) else f"they contradict each other ({error!r:.200})"


def _registrations(ledger: EventViews) -> Iterator[_Fault]:
    for event in ledger.changes:
        if event["event"] != "MemberJoined":
            continue
        values = event["args"]
        key = hashlib.sha256(bytes(values["envelopeKey"])).digest()
        member, samples = str(values["member"]), int(values["samples"])
        joining = Registration(ledger.federation, member, int(values["roles"]), samples, key)
        yield from _signature("a registration", ledger, joining, values["signature"], member)


def _round(ledger: EventViews, number: int, timestamp: Timestamp) -> Iterator[_Fault]:
    """One round: its attempts in their order, and each by itself."""
    attempts = ledger.round_events(number).attempts
    base = ledger.genesis_digest if number == 1 else bytes(ledger.finalized[number - 2]["modelDigest"])
    counted = [int(attempt.of("RoundOpened")[0]["attempt"]) for attempt in attempts]
    if counted != [*range(1, len(attempts) + 1)]:
        yield "the round's attempts", [*range(1, len(attempts) + 1)], counted
    for attempt in attempts:
        opening = attempt.events[0]
        if (found := bytes(opening["args"]["baseDigest"])) != base:
            yield "the base model of an opening", base.hex(), found.hex()
        last = attempt is attempts[-1]
        ends = [len(attempt.of(name)) for name in ("RoundAborted", "RoundFinalized")]
        if ends != [int(not last), int(last)]:
            yield "the end of an attempt", "finalized" if last else "aborted", f"{ends} of either"
        yield from _bounds(ledger, attempt, number, timestamp(opening["blockNumber"]))
        yield from _opening(ledger, attempt)
        yield from _updates(ledger, attempt, timestamp)
        yield from _sets(ledger, attempt)
    for values in ledger.round_events(number).of("BaseRefused"):
        hospital = str(values["hospital"])
        refusal = Refusal(ledger.federation, number, hospital, bytes(values["seen"]))
        yield from _signature("a refusal", ledger, refusal, values["signature"], hospital)


def _bounds(ledger: EventViews, attempt: RoundEvents, number: int, opened: int) -> Iterator[_Fault]:
    """What the contract binds of every round: how many there are, and for how long each is open."""
    bounds, deadline = ledger.bounds or UNBOUND, int(attempt.events[0]["args"]["deadline"])
    if bounds.rounds and number > bounds.rounds:
        yield "the round", f"one of {bounds.rounds}", number
    if (seconds := deadline - opened) < bounds.shortest_deadline:
        yield "the deadline", f"{bounds.shortest_deadline} s after the opening at least", f"{seconds} s"


def _opening(ledger: EventViews, attempt: RoundEvents) -> Iterator[_Fault]:
    """Who is asked is an active hospital by its present account, with the weight that the rule gives it."""
    opening = attempt.events[0]
    before = (event for event in ledger.changes if place_of(event) < place_of(opening))
    members, asked = members_after(before), asked_seats(attempt)
    for seat, account in asked.items():
        member = members.get(seat)
        if member is None or (member.account, member.standing) != (account, "active"):
            yield "who was asked", "active members by their accounts", f"seat {seat}, {account}"
            return
    samples, share = [members[seat].samples for seat in asked], (ledger.bounds or UNBOUND).largest_share
    try:
        weights = assign_weights(samples, ledger.weighting, share)
    except ContractRejectedError as error:
        yield "who was asked", "enough for the largest share", error
        return
    if (found := list(opening["args"]["weights"])) != weights:
        yield "weights", weights, found


def _updates(ledger: EventViews, attempt: RoundEvents, timestamp: Timestamp) -> Iterator[_Fault]:
    """Each accepted update came in time, once, and is signed by its hospital."""
    deadline, came = int(attempt.events[0]["args"]["deadline"]), set()
    if (opened := timestamp(attempt.events[0]["blockNumber"])) >= deadline:
        yield "the deadline", f"one after {opened}, when the round was opened", deadline
    for event in attempt.events:
        if event["event"] != "UpdateAccepted":
            continue
        hospital = str(event["args"]["hospital"])
        if (at := timestamp(event["blockNumber"])) > deadline:
            yield "an accepted update", f"one that came until {deadline}", f"{hospital} at {at}"
        if (seat := ledger.seat_of(hospital)) in came or seat not in asked_seats(attempt):
            yield "an accepted update", "one of each hospital that was asked", hospital
            continue
        came.add(seat)
        registered = ledger.members()[seat].samples
        if not 0 < (samples := int(event["args"]["samples"])) <= registered:
            yield "an accepted update", f"one of 1 to {registered} images", f"{samples}, by {hospital}"
        signed = attempt.submission(ledger.federation, hospital)
        yield from _signature("an accepted update", ledger, signed, event["args"]["signature"], hospital)


def _sets(ledger: EventViews, attempt: RoundEvents) -> Iterator[_Fault]:
    """What is in the sum counts, what counts was accepted, and who was accepted was asked."""
    there = set(accepted_seats(ledger, attempt))
    if beyond := there - set(asked_seats(attempt)):
        yield "accepted hospitals", "only hospitals that were asked", sorted(beyond)
    for event, field, what in (
        ("RoundValidated", "counted", "counted updates"),
        ("RoundFinalized", "included", "included set"),
    ):
        for values in attempt.of(event):
            chosen = set(from_bitmap(int(values[field])))
            if not chosen <= there:
                yield what, f"only of seats {sorted(there)}", sorted(chosen)
            there = chosen
    opening = attempt.events[0]["args"]
    weights = dict(zip(asked_seats(attempt), opening["weights"], strict=True))
    share = (ledger.bounds or UNBOUND).largest_share
    included = {str(seat): weights[seat] for seat in there if seat in weights}
    if attempt.of("RoundFinalized") and (largest := beyond_share(included, share)):
        found = f"{included[largest]} of {sum(included.values())}, by seat {largest}"
        yield "weights of the included set", f"{share / WHOLE:.2%} at most for one", found


def _signature(what: str, ledger: EventViews, message: Struct, signature: Any, by: str) -> Iterator[_Fault]:
    try:
        signer = recover(message, bytes(signature), ledger.domain)
    except LedgerError as error:
        yield what, f"the signature of {by}", error
        return
    if signer != by:
        yield what, f"the signature of {by}", f"that of {signer}"


def _shown(value: object) -> str:
    return f"{value!s:.300}"
