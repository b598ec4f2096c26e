"""A hospital accuses an honest coordinator, or makes its record unreadable; it does not get its way.

It refuses, under its signature, the base of a round that its own update is in; it gives a failed round up
for a reason that is no text; it reports metrics that cannot be written down; it takes another one's name.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from contract_party import Party
from eth_abi.abi import encode
from federation import Recorder, run_federation
from web3.types import Wei

from fedcxr.audit.audit import audit
from fedcxr.audit.chain.decoded_events import decode_events
from fedcxr.audit.chain.reading import read_chain
from fedcxr.audit.findings import AuditReport
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.config import Config
from fedcxr.ledger.artifact import load_artifact
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.history import aborted_attempts
from fedcxr.ledger.signed_json import signed_to_tree
from fedcxr.ledger.signing import Refusal, Signed, sign
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update.metrics import HospitalMetrics
from server.events import HospitalAnswered, RoundFinalized
from server.registration import HospitalNode, _told_apart

CRAFTED = b"\x66" * 32  # the digest of a model that nobody handed out


@pytest.fixture
def one_round(small_config: Config) -> Config:
    return small_config.with_changes({"federation.rounds": 1})


def audited(run: RunDirectory, *journals: Path) -> AuditReport:
    return audit(run, [Identity.load(run.keys / "auditor.json").envelope_key], journals=journals)


def refusal_of(run: RunDirectory, ledger: FederationLedger) -> Signed[Refusal]:
    """What the first hospital signs to accuse its coordinator."""
    account = Identity.load(run.hospital(0) / "identity.json").account
    message = Refusal(ledger.views.federation, 1, account.address, CRAFTED)
    return Signed(message, sign(account, message, ledger.domain))


def test_a_refusal_of_a_round_that_has_the_hospitals_own_update_convicts_nobody(
    one_round: Config, tmp_path: Path
) -> None:
    run = run_federation(one_round, tmp_path / "run")
    coordinator = Identity.load(run.keys / "coordinator.json").account
    with closing(EmbeddedChain(run.chain_path, chain_id=run.read_facts().chain_id)) as chain:
        ledger = FederationLedger(chain.w3, run.read_facts().contract, coordinator)
        signed = refusal_of(run, ledger)
        ledger.refuse(signed.message, signed.signature)  # anyone may bring it
    report = audited(run)
    assert report.proven, [str(finding) for finding in report.findings]
    said = f"round 1: {signed.message.hospital} says that it was handed {CRAFTED.hex()} as base model"
    assert f"{said}; its own update in the round is on the ledger's" in report.notes


def test_a_refusal_in_a_journal_alone_convicts_nobody_either(one_round: Config, tmp_path: Path) -> None:
    run = run_federation(one_round, tmp_path / "run")
    with closing(EmbeddedChain(run.chain_path, chain_id=run.read_facts().chain_id)) as chain:
        signed = refusal_of(run, FederationLedger(chain.w3, run.read_facts().contract, None))
    (journal,) = run.hospital(0).glob("0x*/journal.jsonl")
    with journal.open("a") as file:
        file.write(json.dumps({"kind": "refusal", **signed_to_tree(signed)}) + "\n")
    report = audited(run, journal)
    assert report.proven, [str(finding) for finding in report.findings]
    assert any("its refusal is not on the ledger" in note for note in report.notes)


def test_a_reason_that_is_no_text_leaves_the_rounds_events_readable(party: Party) -> None:
    party.open(seconds=100)
    party.travel(200)
    party.chain.fund(party.outsider.address)
    abort = party.ledger.views._connection.contract.function("abortRound")(1, "")
    selector = bytes.fromhex(abort.selector[2:])
    party.chain.w3.sender(party.outsider).deliver(
        {
            "to": party.ledger.address,  # type: ignore[typeddict-item]
            "data": selector + encode(["uint64", "bytes"], [1, b"\xff\xfe no text \xed\xa0\x80"]),
            "value": Wei(0),
            "gas": 200_000,
        }
    )
    (attempt,) = aborted_attempts(party.ledger.views, 1)
    assert attempt.reason == r"\xff\xfe no text \xed\xa0\x80"
    proof, _ = read_chain(party.chain.w3, party.ledger.address)
    assert decode_events(proof, load_artifact())[-1]["values"]["reason"] == attempt.reason
    party.open()
    assert party.ledger.round(1).attempt == 2


def test_metrics_that_cannot_be_written_down_leave_out_their_hospital_and_nobody_else(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    salts = ["\ud800" * 32]
    honest = HospitalMetrics.fresh_salt
    monkeypatch.setattr(HospitalMetrics, "fresh_salt", lambda: salts.pop() if salts else honest())
    recorder = Recorder()
    run = run_federation(one_round, tmp_path / "run", observer=recorder)
    assert recorder.of(RoundFinalized)
    reasons = [event.reason for event in recorder.events if isinstance(event, HospitalAnswered)]
    (reason,) = filter(None, reasons)
    assert "the metrics' salt is" in reason
    assert audited(run).proven


@pytest.mark.parametrize(
    "names",
    [("west", "west"), ("west", "WEST "), ("west", "ｗｅｓｔ"), ("0x1234", "0x1234")],
    ids=["same", "case", "width", "address"],
)
def test_names_that_could_be_taken_for_one_another_give_way_to_addresses(names: tuple[str, str]) -> None:
    members = {
        address: HospitalNode(address, name, 9, node)
        for node, (address, name) in enumerate(zip(("0xA", "0xB"), names, strict=True))
    }
    members["0xC"] = HospitalNode("0xC", "east", 9, 2)
    shown = {address: member.name for address, member in _told_apart(members).items()}
    assert shown == {"0xA": "0xA", "0xB": "0xB", "0xC": "east"}
    alone = {"0xA": replace(members["0xA"], name="0xC")}
    assert _told_apart(alone)["0xA"].name == "0xA"
