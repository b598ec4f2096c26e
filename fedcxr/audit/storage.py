"""What an endpoint says of the contract's storage, held to the events that its chain proves.

Without a proof of the state, the answer to a call is the endpoint's word. But whatever an audit takes from
storage has been in an event as well, and events are proven; so a word that is not theirs is a finding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from fedcxr.audit.chain.proof import ChainProof
from fedcxr.audit.findings import AuditReport
from fedcxr.errors import LedgerError
from fedcxr.ledger.court import DisputeCourt, result_of
from fedcxr.ledger.history import members_after, membership
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import commitment
from fedcxr.ledger.views import FederationViews

_Fact = tuple[str, object, object]  # what, by the events, by the endpoint


def check_storage(ledger: FederationViews, proof: ChainProof, report: AuditReport) -> None:
    """Hold the contract's own facts to its events and the transaction that created it."""
    try:
        for what, expected, found in (*_facts(ledger, proof), *_members(ledger)):
            if expected != found:
                report.find(f"the endpoint's word on {what}", _shown(expected), _shown(found))
    except LedgerError as error:
        report.find("the contract's events", "those of a federation", str(error))


def check_round_storage(ledger: FederationViews, view: RoundView, report: AuditReport) -> None:
    """Hold what the contract keeps of a finalized round, as the endpoint tells it, to the round's events."""
    events = ledger.round_events(view.number)
    for hospital in sorted(view.accepted) if view.submissions_root == bytes(32) else ():
        expected = commitment(events.submission(ledger.federation, hospital))
        found = ledger.commitment(view.number, view.attempt, view.seats[hospital])
        if expected != found:
            where = "the endpoint's word on an accepted update"
            report.find(where, expected.hex(), found.hex(), view.number, hospital)
    try:
        result_of(ledger, view.number)
    except LedgerError as error:
        report.find(
            "the endpoint's word on the round's result", "that of its events", str(error), view.number
        )


def _facts(ledger: FederationViews, proof: ChainProof) -> Iterator[_Fact]:
    created, changed = proof.creation(), ledger.events("CoordinatorChanged")
    successors = [str(event["args"]["successor"]) for event in changed]
    if created is not None:
        yield "the coordinator", [created.sender, *successors][-1], ledger.coordinator
    founded = ledger.deployment_parameters
    yield "the federation", founded.federation, ledger.federation
    yield "the layout", founded.layout_digest, ledger.layout_digest
    yield "the configuration", founded.config_digest, ledger.config_digest
    yield "the first model", founded.genesis_digest, ledger.genesis_digest
    yield "whether updates are sealed", founded.open_updates, ledger.open_updates
    for what, key, digest in (
        ("the coordinator's key", founded.coordinator_key, ledger.coordinator_key_digest),
        ("the auditor's key", founded.auditor_key, ledger.auditor_key_digest),
    ):
        yield what, hashlib.sha256(key).digest() if key else bytes(32), digest
    finalized = [event["args"] for event in ledger.events("RoundFinalized")]
    numbers = [int(values["round"]) for values in finalized]
    yield "finalized rounds", numbers, list(range(1, ledger.last_finalized + 1))
    released = bytes(finalized[-1]["modelDigest"]) if finalized else founded.genesis_digest
    yield "the released model", released, ledger.model_digest
    yield "the court", proof.court, ledger.court
    court = DisputeCourt(ledger.w3, ledger.court)
    announced = court.disputed_by_events()
    disputed = {number: number in announced for number in numbers}
    yield "disputed rounds", disputed, {number: court.disputed(number) for number in numbers}


def _members(ledger: FederationViews) -> Iterator[_Fact]:
    # By seat: account, images, roles, standing, digest of its envelope key.
    members = members_after(membership(ledger))
    expected = {
        m.seat: (m.account, m.samples, m.roles, m.standing, hashlib.sha256(m.envelope_key).hexdigest())
        for m in members.values()
    }
    seats = {account: member.seat for member in members.values() for account in member.accounts}
    yield "the seats", seats, {account: ledger.seat_of(account) for account in seats}
    found = {
        m.seat: (m.address, m.samples, m.roles, m.standing, m.envelope_key_digest.hex())
        for m in ledger.members()
    }
    yield "the members", expected, found


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return f"{value!s:.300}"
