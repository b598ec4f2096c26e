"""A validator judges nothing but what the contract accepted: each lie about a candidate has an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from founded import Founded, moved

from clients.hospital import Hospital
from clients.member import Member
from fedcxr.errors import FederationError
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import Submission, commitment
from fedcxr.messages import ValidateRequest
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.privacy.protection import UpdateContext
from fedcxr.store.identity import Identity
from fedcxr.update import merkle
from fedcxr.update.round_config import RoundConfig

ALIEN = "0x" + "11" * 20


@dataclass
class ClosedRound:
    """A contract whose round is closed, with one update: what a validator asks of it."""

    federation: bytes
    view: RoundView
    held: bytes  # the update's commitment

    def round(self, number: int) -> RoundView:
        assert number == self.view.number
        return self.view

    def commitment(self, number: int, attempt: int, seat: int) -> bytes:
        assert (number, attempt) == (self.view.number, self.view.attempt)
        assert seat in self.view.seats.values()
        return self.held


@dataclass
class Shown:
    """A validator, the contract that it reads, and an honest request to judge."""

    validator: Member
    ledger: ClosedRound
    request: ValidateRequest
    update: np.ndarray[tuple[int], np.dtype[np.uint32]]


@pytest.fixture
def shown(founded: Founded, participant: Hospital, monkeypatch: pytest.MonkeyPatch) -> Shown:
    member = participant.member
    update = np.arange(founded.layout.size, dtype=np.uint32)
    key: EnvelopePrivateKey = Identity.load(founded.run.keys / "coordinator.json").envelope_key
    (reader,) = member.protection.readers([key], shown=True)
    federation = founded.register.federation
    context = UpdateContext(
        federation.hex(), 1, member.address, founded.layout.digest.hex(), founded.layout.size, 1
    )
    blob = member.protection.protect(update.copy(), context, member.recipients, shown=True)
    proven = reader.show(blob, context)
    view = replace(founded.ledger.round(1), status="closed")
    submission = Submission(
        federation=federation,
        round=1,
        attempt=view.attempt,
        hospital=member.address,
        base=view.base,
        root=merkle.root(blob),
        samples=5,
        size=len(blob),
        metrics=b"M" * 32,
    )
    request = ValidateRequest(
        round=1,
        attempt=view.attempt,
        round_config=founded.train.round_config,
        hospital=member.address,
        base=view.base,
        root=submission.root,
        samples=submission.samples,
        size=submission.size,
        metrics_root=submission.metrics,
        header=proven.header,
        paths=proven.paths,
        bulk=founded.base.astype("<f4").tobytes() + update.astype("<u4").tobytes(),
    )
    ledger = ClosedRound(federation, view, commitment(submission))
    monkeypatch.setattr("clients.member.attach_ledger", lambda disk, contract, chain_id: ledger)
    return Shown(member, ledger, request, update)


def test_what_the_contract_accepted_is_judged_with_its_weight(founded: Founded, shown: Shown) -> None:
    held, base, update, weight = shown.validator.check_candidate(shown.request)
    assert held == shown.ledger.held
    assert np.array_equal(base, founded.base)
    assert np.array_equal(update, shown.update)
    assert weight == shown.ledger.view.weights[shown.request.hospital]


def other_exponents(request: ValidateRequest) -> ValidateRequest:
    config = RoundConfig.from_bytes(request.round_config)
    return replace(request, round_config=replace(config, exponents=(0, *config.exponents[1:])).to_bytes())


def other_update(request: ValidateRequest) -> ValidateRequest:
    return replace(request, bulk=request.bulk[:-1] + bytes([request.bulk[-1] ^ 1]))


def other_base(request: ValidateRequest) -> ValidateRequest:
    half = len(request.bulk) // 2
    return replace(request, bulk=moved(np.frombuffer(request.bulk[:half], "<f4")) + request.bulk[half:])


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (lambda r: replace(r, attempt=r.attempt + 1), "the round is closed, attempt 1"),
        (lambda r: replace(r, hospital=ALIEN), "no participant"),
        (other_exponents, "another round configuration"),
        (lambda r: replace(r, samples=r.samples + 1), "accepted another one"),
        (lambda r: replace(r, bulk=r.bulk[:4]), "hold no model and vector"),
        (lambda r: replace(r, bulk=r.bulk + b"\0"), "hold no model and vector"),
        (other_base, "the base model is not the contract's"),
        (lambda r: replace(r, header=r.header[:-4096] + b" " * 4095 + b"\n"), "the header is not that of"),
        (other_update, "not those that its hospital committed to"),
    ],
    ids=["attempt", "stranger", "exponents", "samples", "short", "odd", "base", "header", "update"],
)
def test_a_candidate_that_is_not_the_contracts_is_not_judged(
    shown: Shown, lie: Callable[[ValidateRequest], ValidateRequest], said: str
) -> None:
    with pytest.raises(FederationError, match=said):
        shown.validator.check_candidate(lie(shown.request))


def test_nothing_is_judged_before_the_round_is_closed(shown: Shown) -> None:
    shown.ledger.view = replace(shown.ledger.view, status="open")
    with pytest.raises(FederationError, match="the round is open"):
        shown.validator.check_candidate(shown.request)
