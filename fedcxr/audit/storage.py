"""What an endpoint says of the contract's storage, held to the events that its chain proves.

Without a proof of the state, the answer to a call is the endpoint's word. But whatever an audit takes from
storage has been in an event as well, and events are proven; so a word that is not theirs is a finding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from fedcxr.audit.findings import AuditReport
from fedcxr.errors import LedgerError
from fedcxr.ledger.chain_proof import ChainProof
from fedcxr.ledger.court import result_of
from fedcxr.ledger.founding import Founding
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import commitment
from fedcxr.ledger.views import FederationViews

_Fact = tuple[str, object, object]  # what, by the events, by the endpoint


def check_storage(ledger: FederationViews, proof: ChainProof, report: AuditReport) -> None:
    """Hold the contract's own facts to its first event and the transaction that created it."""
    for what, expected, found in _facts(ledger, proof):
        if expected != found:
            report.find(f"the endpoint's word on {what}", _shown(expected), _shown(found))


def check_round_storage(ledger: FederationViews, view: RoundView, report: AuditReport) -> None:
    """Hold a finalized round as the endpoint tells it to the round's events."""
    for what, expected, found in _round_facts(ledger, view):
        if expected != found:
            report.find(f"the endpoint's word on {what}", _shown(expected), _shown(found), view.number)


def _facts(ledger: FederationViews, proof: ChainProof) -> Iterator[_Fact]:
    created = proof.creation()
    if created is not None:
        yield "the coordinator", created.sender, ledger.coordinator
    for event in ledger.events("FederationCreated"):
        said = Founding.from_tuple(list(event["args"]["founding"].values()))
        yield "the court", event["args"]["court"], ledger.court
        yield "the federation", said.federation, ledger.federation
        yield "the layout", said.layout_digest, ledger.layout_digest
        yield "the configuration", said.config_digest, ledger.config_digest
        yield "the first model", said.genesis_digest, ledger.genesis_digest
        yield "the weighting", said.weighting, ledger.weighting
        yield "the recording", said.recording, ledger.recording
        yield "whether updates are open", said.open_updates, ledger.open_updates
        yield "the committee's size", said.committee_size, ledger.committee_size
        for what, key, digest in (
            ("the coordinator's key", said.coordinator_key, ledger.coordinator_key_digest),
            ("the auditor's key", said.auditor_key, ledger.auditor_key_digest),
        ):
            yield what, hashlib.sha256(key).digest() if key else bytes(32), digest
    finalized = ledger.events("RoundFinalized")
    numbers = [int(event["args"]["round"]) for event in finalized]
    yield "finalized rounds", list(range(1, ledger.last_finalized + 1)), numbers
    if finalized:
        yield "the released model", bytes(finalized[-1]["args"]["modelDigest"]), ledger.model_digest


def _round_facts(ledger: FederationViews, view: RoundView) -> Iterator[_Fact]:
    try:
        yield "its result", result_of(ledger, view.number).hash, ledger.result_hash(view.number)
    except LedgerError as error:
        yield "its result", "the hash of what its events say", str(error)
    if ledger.recording == "each":
        events = ledger.round_events(view.number)
        for address in view.accepted:
            said = commitment(events.submission(ledger.federation, address))
            held = ledger.commitment(view.number, view.attempt, view.seats[address])
            yield f"the update of {address}", said, held


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return f"{value!s:.300}"
