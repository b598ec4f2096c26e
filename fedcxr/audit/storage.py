"""What an endpoint says of the contract's storage, held to the events that its chain proves.

Without a proof of the state, the answer to a call is the endpoint's word. But whatever an audit takes from
storage has been in an event as well, and events are proven; so a word that is not theirs is a finding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from fedcxr.audit.findings import AuditReport
from fedcxr.ledger.chain_proof import ChainProof
from fedcxr.ledger.protocol import RoundView
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
        said = event["args"]
        yield "the federation", bytes(said["federation"]), ledger.federation
        yield "the layout", bytes(said["layoutDigest"]), ledger.layout_digest
        yield "the configuration", bytes(said["configDigest"]), ledger.config_digest
        yield "the first model", bytes(said["genesisDigest"]), ledger.genesis_digest
        for what, key, digest in (
            ("the coordinator's key", bytes(said["coordinatorKey"]), ledger.coordinator_key_digest),
            ("the auditor's key", bytes(said["auditorKey"]), ledger.auditor_key_digest),
        ):
            yield what, hashlib.sha256(key).digest() if key else bytes(32), digest
    finalized = ledger.events("RoundFinalized")
    numbers = [int(event["args"]["round"]) for event in finalized]
    yield "finalized rounds", list(range(1, ledger.last_finalized + 1)), numbers
    if finalized:
        yield "the released model", bytes(finalized[-1]["args"]["modelDigest"]), ledger.model_digest


def _round_facts(ledger: FederationViews, view: RoundView) -> Iterator[_Fact]:
    opened = ledger.events("RoundOpened", view.number)
    if not opened:
        yield "the round", "opened by an event", "none"
        return
    said = opened[-1]["args"]
    yield "its base", bytes(said["baseDigest"]), view.base
    yield "its configuration", bytes(said["configDigest"]), view.config_digest
    yield "its participants", tuple(said["participants"]), view.participants
    weights = dict(zip(said["participants"], said["weights"], strict=False))
    yield "its weights", weights, dict(view.weights)
    accepted = {}
    for event in ledger.events("UpdateAccepted", view.number):
        if _place(event) > _place(opened[-1]):
            update = event["args"]
            accepted[str(update["hospital"])] = (
                bytes(update["root"]),
                int(update["samples"]),
                int(update["size"]),
                bytes(update["metrics"]),
            )
    found = {a: (u.root, u.samples, u.size, u.metrics) for a, u in view.accepted.items()}
    yield "its accepted updates", accepted, found
    finalized = ledger.events("RoundFinalized", view.number)
    if len(finalized) != 1:
        yield "the round", "finalized by one event", f"by {len(finalized)}"
        return
    result = finalized[0]["args"]
    yield "its aggregate", bytes(result["aggregateRoot"]), view.aggregate_root
    yield "its model", bytes(result["modelDigest"]), view.model_digest
    yield "what it includes", sorted(result["included"]), sorted(view.included)


def _place(event: object) -> tuple[int, int]:
    return (event["blockNumber"], event["logIndex"])  # type: ignore[index]


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return f"{value!s:.300}"
