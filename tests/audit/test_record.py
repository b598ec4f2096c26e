"""Events that fit their headers, and that the contract's code would not have made: each kind is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fedcxr.audit.chain.proof import ChainProof
from fedcxr.audit.chain.proven_provider import alone
from fedcxr.audit.chain.reading import read_chain
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.record import check_record
from fedcxr.chain.embedded.replay import Replayed
from fedcxr.errors import ChainError, ContractRejectedError
from fedcxr.ledger.bounds import Bounds
from fedcxr.ledger.connection import ContractConnection
from fedcxr.ledger.event_views import EventViews
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.views import FederationViews
from fedcxr.store.run_directory import RunDirectory

Values = dict[str, Any]
STRANGER = "0x" + "11" * 20


@pytest.fixture(scope="module")
def proof(finished: RunDirectory, executed: Replayed) -> ChainProof:
    assert executed.w3 is not None
    return read_chain(executed.w3, finished.read_facts().contract)[0]


@pytest.fixture
def ledger(proof: ChainProof) -> EventViews:
    return EventViews(ContractConnection(alone(proof), proof.contract))


def checked(ledger: EventViews, proof: ChainProof) -> list[str]:
    report = AuditReport()
    check_record(ledger, range(1, ledger.last_finalized + 1), proof.timestamp, report)
    return [finding.where for finding in report.findings]


def test_what_the_contract_made_has_no_finding(ledger: EventViews, proof: ChainProof) -> None:
    assert ledger.last_finalized == 2
    assert checked(ledger, proof) == []


def forge(
    ledger: EventViews, monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[Values], Values]
) -> None:
    """Have the first event of a kind of round 2 say something else."""
    honest = FederationViews.round_events

    def forged(self: FederationViews, number: int) -> RoundEvents:
        events = list(honest(self, number).events)
        if number == 2:
            at = next(at for at, event in enumerate(events) if event["event"] == name)
            events[at] = {**events[at], "args": {**events[at]["args"], **change(dict(events[at]["args"]))}}
        return RoundEvents(number, events)

    monkeypatch.setattr(FederationViews, "round_events", forged)


@pytest.mark.parametrize(
    ("name", "change", "where"),
    [
        ("RoundOpened", lambda v: {"weights": [4000, *v["weights"][1:]]}, ["weights"]),
        ("RoundOpened", lambda v: {"attempt": 2}, ["the round's attempts", "an accepted update"]),
        ("RoundOpened", lambda v: {"baseDigest": b"\x01" * 32}, ["the base model of an opening"]),
        ("RoundOpened", lambda v: {"deadline": 1}, ["the deadline", "an accepted update"]),
        ("RoundOpened", lambda v: {"participants": [STRANGER, *v["participants"][1:]]}, ["who was asked"]),
        ("UpdateAccepted", lambda v: {"root": b"\x01" * 32}, ["an accepted update"]),
        ("UpdateAccepted", lambda v: {"samples": 10**6}, ["an accepted update"]),
        ("UpdateAccepted", lambda v: {"signature": b"\x01" * 65}, ["an accepted update"]),
        ("UpdateAccepted", lambda v: {"hospital": STRANGER}, ["the contract's events"]),
        ("RoundClosed", lambda v: {"accepted": 3}, ["counted updates"]),
        ("RoundFinalized", lambda v: {"included": 1 << 9}, ["included set"]),
    ],
    ids=[
        "weights",
        "attempt",
        "base",
        "deadline",
        "who was asked",
        "signature of another root",
        "samples",
        "signature that is none",
        "hospital",
        "accepted",
        "included",
    ],
)
def test_what_the_contract_would_not_make_is_found(
    ledger: EventViews,
    proof: ChainProof,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    change: Callable[[Values], Values],
    where: list[str],
) -> None:
    forge(ledger, monkeypatch, name, change)
    found = checked(ledger, proof)
    assert set(where) <= set(found)


@pytest.mark.parametrize(
    ("bounds", "where"),
    [
        (Bounds(rounds=1), ["the round"]),
        (Bounds(shortest_deadline=10**9), ["the deadline", "the deadline"]),
        (Bounds(largest_share=2000), ["who was asked", "weights of the included set"] * 2),
        (Bounds(largest_share=3400), ["weights", "weights of the included set"] * 2),
    ],
    ids=["rounds", "deadline", "too few", "share"],
)
def test_what_the_contract_binds_is_found_where_events_are_beyond_it(
    ledger: EventViews, proof: ChainProof, bounds: Bounds, where: list[str]
) -> None:
    ledger.__dict__["bounds"] = bounds
    assert sorted(checked(ledger, proof)) == sorted(where)


def test_events_answer_what_the_contract_answers(
    ledger: EventViews, finished: RunDirectory, executed: Replayed
) -> None:
    assert executed.w3 is not None
    contract = FederationViews.attach(executed.w3, finished.read_facts().contract)
    for name in (
        *("federation", "layout_digest", "config_digest", "genesis_digest", "weighting", "recording"),
        *("court", "coordinator", "last_finalized", "model_digest"),
    ):
        assert getattr(ledger, name) == getattr(contract, name), name
    assert ledger.members() == contract.members()
    for member in contract.members():
        assert ledger.seat_of(member.address) == member.seat
    assert ledger.round(2) == contract.round(2)
    with pytest.raises(ContractRejectedError, match="NotRegistered"):
        ledger.seat_of(STRANGER)
    with pytest.raises(ChainError, match="a proof of events does not say"):
        ledger.result_hash(1)
