"""A hospital's key is rotated while its round is open, by itself or by whoever relays what it signed.

What it had sent under the old key is no update of anybody then. It leaves the sum, and stops no round.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from federation import Recorder, run_federation
from flwr.app import Message

from fedcxr.audit.audit import audit
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.embedded.evm import FAUCET
from fedcxr.config import Config
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.signing import Rotation, Signed, SignedSubmission, Submission, sign
from fedcxr.messages import UpdateReply
from fedcxr.privacy.kinds import protection_named
from fedcxr.privacy.protection import UpdateContext
from fedcxr.round_lines import read_rounds
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from server import batch
from server.coordinator import Coordinator
from server.events import HospitalAnswered
from server.round import Round

SUCCESSOR: LocalAccount = Account.from_key(b"8" * 32)


@pytest.fixture
def ledgers(monkeypatch: pytest.MonkeyPatch) -> list[FederationLedger]:
    """Those of the coordinators that have run, the present one last."""
    run, running = Coordinator.run, list[FederationLedger]()

    def noted(self: Coordinator) -> None:
        assert isinstance(self.ledger, FederationLedger)
        running.append(self.ledger)
        run(self)

    monkeypatch.setattr(Coordinator, "run", noted)
    return running


@pytest.fixture
def one_round(small_config: Config) -> Config:
    return small_config.with_changes({"federation.rounds": 1})


def rotate(ledger: FederationLedger, root: Path, hospital: str) -> None:
    accounts = (Identity.load(path).account for path in root.glob("hospitals/*/identity.json"))
    member = next(account for account in accounts if account.address == hospital)
    digest = hashlib.sha256(b"new").digest()
    rotation = Rotation(ledger.views.federation, hospital, SUCCESSOR.address, digest)
    signed = [sign(key, rotation, ledger.domain) for key in (member, SUCCESSOR)]
    ledger.membership.rotate_key(rotation, b"new", *signed)


def bring(ledger: FederationLedger, submission: Submission) -> None:
    """Submit what the new key signs, from its own account."""
    chain = SimpleNamespace(w3=ledger._w3, faucet=FAUCET.public_key.to_checksum_address())
    EmbeddedChain.fund(chain, SUCCESSOR.address)  # type: ignore[arg-type]
    direct = FederationLedger.attach(ledger._w3, ledger.views.address, SUCCESSOR)
    direct.submit_direct(Signed(submission, sign(SUCCESSOR, submission, ledger.domain)))


def check(run: RunDirectory, recorder: Recorder, victim: str) -> None:
    """The run is proven without the victim, who was told why."""
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    assert report.proven, [*report.findings, *report.unchecked]
    (line,) = read_rounds(run)
    assert len(line.included) == 2
    answers = [e.reason for e in recorder.events if isinstance(e, HospitalAnswered) and e.hospital == victim]
    assert any("NotActive" in reason for reason in answers), answers


def test_an_update_under_a_key_that_was_rotated_while_it_travelled_stops_no_round(
    one_round: Config, tmp_path: Path, ledgers: list[FederationLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coordinator has looked at the contract since, as it does when it brings another hospital's."""
    take, victims = Round._check, list[str]()

    def late(self: Round, message: Message, address: str) -> list[SignedSubmission]:
        if not victims:
            victims.append(address)
            rotate(ledgers[-1], tmp_path / "run", address)
            self._look_up()
        return take(self, message, address)

    monkeypatch.setattr(Round, "_check", late)
    recorder = Recorder()
    run = run_federation(one_round, tmp_path / "run", observer=recorder)
    check(run, recorder, victims[0])


@pytest.mark.parametrize("recording", ["each", "root"])
def test_an_update_under_a_key_that_was_rotated_after_it_came_leaves_the_sum(
    one_round: Config,
    tmp_path: Path,
    ledgers: list[FederationLedger],
    monkeypatch: pytest.MonkeyPatch,
    recording: str,
) -> None:
    """The new key brings another one, whose bytes nobody has: neither is in the sum."""
    monkeypatch.setattr(batch.Batch, "due", False)  # all are brought together, at the end
    came: list[UpdateReply] = []

    def tamper(name: str, reply: UpdateReply) -> UpdateReply:
        came.append(reply)
        if len(came) == 2:
            ledger, victim = ledgers[-1], came[0].hospital
            rotate(ledger, tmp_path / "run", victim)
            sent = came[0].submission(ledger.views.federation)
            bring(ledger, replace(sent, hospital=SUCCESSOR.address, root=hashlib.sha256(b"other").digest()))
        return reply

    recorder = Recorder()
    config = one_round.with_changes({"ledger.recording": recording})
    run = run_federation(config, tmp_path / "run", tamper=tamper, observer=recorder)
    check(run, recorder, came[0].hospital)


@pytest.mark.parametrize("recording", ["each", "root"])
def test_an_update_stays_in_the_sum_when_its_key_is_rotated_after_it_was_brought(
    one_round: Config,
    tmp_path: Path,
    ledgers: list[FederationLedger],
    monkeypatch: pytest.MonkeyPatch,
    recording: str,
) -> None:
    monkeypatch.setattr(batch, "_MOST", 1)
    came: list[str] = []

    def tamper(name: str, reply: UpdateReply) -> UpdateReply:
        came.append(reply.hospital)
        if len(came) == 2:
            rotate(ledgers[-1], tmp_path / "run", came[0])
        return reply

    config = one_round.with_changes({"ledger.recording": recording})
    run = run_federation(config, tmp_path / "run", tamper=tamper)
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    assert report.proven, [*report.findings, *report.unchecked]
    (line,) = read_rounds(run)
    assert sorted(line.included) == sorted(came)


def test_an_update_under_the_new_key_takes_the_place_of_the_one_under_the_old(
    one_round: Config, tmp_path: Path, ledgers: list[FederationLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both weights together are more than a round's: no good update is left out for that."""
    monkeypatch.setattr(batch.Batch, "due", False)
    run, came = RunDirectory(tmp_path / "run", trusted=True), list[UpdateReply]()

    def tamper(name: str, reply: UpdateReply) -> UpdateReply:
        came.append(reply)
        if len(came) == 3:
            ledger, victim = ledgers[-1], came[0].hospital
            layout, weight = run.read_layout(), ledger.round(1).weights[victim]
            rotate(ledger, run.root, victim)
            federation = ledger.views.federation
            context = UpdateContext(
                federation.hex(), 1, SUCCESSOR.address, layout.digest.hex(), layout.size, weight
            )
            holders = (Identity.load(run.keys / f"{who}.json") for who in ("coordinator", "auditor"))
            vector = np.full(layout.size, weight, np.uint32)
            blob = protection_named("sealed").protect(
                vector, context, [holder.envelope_key.public for holder in holders]
            )
            root = run.blob_store().put(blob)
            sent = came[0].submission(federation)
            bring(ledger, replace(sent, hospital=SUCCESSOR.address, root=root, size=len(blob)))
        return reply

    run_federation(one_round, run.root, tamper=tamper)
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    assert report.proven, [*report.findings, *report.unchecked]
    (line,) = read_rounds(run)
    assert sorted(line.included) == sorted([SUCCESSOR.address, *(reply.hospital for reply in came[1:])])
