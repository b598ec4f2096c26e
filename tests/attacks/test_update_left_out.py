"""The coordinator never brings a hospital's update to the contract; the hospital looks after it itself.

In time it brings the update from its own account. Too late it complains, under its signature, and the audit
with its journal, or with the complaint alone, finds for it. One that the record contradicts is a note.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from federation import run_federation
from planted import Show

from clients.watching import watch_once
from fedcxr import files
from fedcxr.audit.audit import audit
from fedcxr.audit.findings import AuditReport
from fedcxr.chain.backends import RemoteChain
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.config import Config
from fedcxr.errors import ChainError, ContractRejectedError, QuorumError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.history import aborted_attempts
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.protocol import RoundView, Verdict
from fedcxr.ledger.signed_json import signed_to_tree
from fedcxr.ledger.signing import Domain, Signed, SignedSubmission, sign
from fedcxr.ledger.statements import Complaint
from fedcxr.ledger.views import FederationViews
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import merkle
from server.coordinator import Coordinator
from server.registration import HospitalNode, register_hospitals
from server.tally import Tally

Watch = Callable[[Path], object]


@pytest.fixture
def one_round(small_config: Config) -> Config:
    return small_config.with_changes({"federation.rounds": 1, "federation.round_timeout": 20})


def audited(run: RunDirectory, *journals: Path) -> AuditReport:
    return audit(run, [Identity.load(run.keys / "auditor.json").envelope_key], journals=journals)


def disk_of(run: RunDirectory, hospital: str) -> Path:
    return next(path.parent for path in run.hospitals.glob(f"*/{hospital}"))


def journal_of(run: RunDirectory, hospital: str) -> Path:
    return disk_of(run, hospital) / hospital / "journal.jsonl"


def lines_of(journal: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def withholding(
    config: Config, out: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: Watch = lambda disk: None
) -> tuple[RunDirectory, str]:
    """A run whose coordinator keeps back what its first hospital sends in round 1, which looks meanwhile."""
    submit, victims = FederationLedger.submit, list[str]()

    def keep_back(self: FederationLedger, batch: Sequence[SignedSubmission]) -> list[Verdict]:
        if self.round_in_progress > 1:
            return submit(self, batch)
        verdicts = []
        for signed in batch:
            hospital = signed.message.hospital
            victims.append(hospital) if not victims else None
            if hospital in victims:
                meanwhile(disk_of(RunDirectory(out), hospital))
                verdicts.append(Verdict(hospital, ContractRejectedError("Unknown")))
            else:
                verdicts += submit(self, [signed])
        return verdicts

    with monkeypatch.context() as patch:
        patch.setattr(FederationLedger, "submit", keep_back)
        run = run_federation(config, out)
    return run, victims[0]


@contextmanager
def shown(run: RunDirectory) -> Iterator[str]:
    """The chain of a run that has ended, where its hospitals look for it."""
    with (
        closing(EmbeddedChain(run.chain_path, chain_id=run.read_facts().chain_id)) as chain,
        closing(RpcServer(chain)) as server,
    ):
        files.write(run.endpoint_path, server.url + "\n")
        yield server.url
        run.endpoint_path.unlink()


def told(disk: Path, **more: Any) -> list[str]:
    return [line.text for line in watch_once(disk, **more)]


def test_a_hospital_brings_its_update_itself_while_the_round_is_open(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[list[str]] = []
    run, victim = withholding(
        one_round,
        tmp_path / "run",
        monkeypatch,
        lambda disk: said.extend([told(disk, grace=60), told(disk), told(disk)]),
    )
    assert "s left to bring it" in said[0][0]
    assert said[1] == ["round 1, attempt 1: brought to the contract"]
    assert said[2] == ["round 1, attempt 1: the contract has accepted it"]
    report = audited(run, journal_of(run, victim))
    assert report.proven, [str(finding) for finding in report.findings]
    assert any(note.startswith(f"round 1: {victim}") and "% of the sum" in note for note in report.notes)


def blob_of(disk: Path, store: Path) -> Path:
    """The file of the update that a hospital sent last."""
    name = merkle.root(next(disk.glob("0x*/update.blob")).read_bytes()).hex()
    return store / name[:2] / name


def losing(config: Config, out: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RunDirectory, str]:
    """A run whose coordinator waits until a hospital brings its update itself, and then loses its bytes."""
    brought, include = list[str](), Tally.include

    def watch(disk: Path) -> None:
        assert told(disk)[0].endswith(": brought to the contract")
        assert told(disk)[0].endswith(": the contract has accepted it")
        brought.append(next(disk.glob("0x*")).name)

    def lose(self: Tally, view: RoundView, address: str) -> str:
        if address in brought and view.number == 1:
            name = view.accepted[address].root.hex()
            (out / "blobs" / name[:2] / name).unlink()
        return include(self, view, address)

    with monkeypatch.context() as patch:
        patch.setattr(Tally, "include", lose)
        return withholding(config, out, monkeypatch, watch)


def test_what_a_hospital_brought_itself_and_the_coordinator_then_lost_is_found_by_its_complaint(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, show: Show
) -> None:
    """The hospital sent its bytes, and the coordinator waited until it brought its submission itself."""
    run, victim = losing(small_config, tmp_path / "run", monkeypatch)
    journal = journal_of(run, victim)
    (complaint,) = lines_of(journal, "complaint")
    assert complaint["phase"] == RoundPhase.FINALIZED.number
    assert complaint["found"] == complaint["commitment"], "the ledger has it, and it does not count"
    report = audited(run)
    assert report.proven, "the ledger alone does not show what the coordinator was sent"
    (note,) = (note for note in report.notes if "excluded since its bytes never came" in note)
    assert f"the update of {victim} was brought to the contract by itself" in note
    (finding,) = audited(run, journal).findings
    assert (finding.round, finding.hospital) == (1, victim)
    assert "states that it sent its bytes" in finding.found
    assert complaint["root"].removeprefix("0x") in finding.expected
    alone = tmp_path / "complaint.jsonl"
    alone.write_text(json.dumps(complaint) + "\n")
    assert [f.hospital for f in audited(run, alone).findings] == [victim]
    assert show("audit", run.root, "--journal", journal).code == 90


def test_the_watch_complains_of_an_update_that_is_not_in_the_sum(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, show: Show
) -> None:
    run, victim = losing(one_round, tmp_path / "run", monkeypatch)
    assert lines_of(journal_of(run, victim), "complaint") == [], "no message came after the last round"
    with shown(run):
        ended = show("member", "watch", disk_of(run, victim))
        again = show("member", "watch", disk_of(run, victim))
    assert (ended.code, again.code) == (70, 0)
    said = " ".join(ended.out.split())
    assert "it is not in the sum: BlobMissingError" in said
    assert "the journal complains of it" in said
    (finding,) = audited(run, journal_of(run, victim)).findings
    assert finding.hospital == victim


def test_a_complaint_of_an_exclusion_whose_bytes_are_there_is_a_note(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it can be added is looked at in the bytes themselves."""
    run, victim = losing(one_round, tmp_path / "run", monkeypatch)
    disk = disk_of(run, victim)
    with shown(run):
        told(disk)
    lost = blob_of(disk, run.root / "blobs")
    lost.write_bytes(next(disk.glob("0x*/update.blob")).read_bytes())
    report = audited(run, journal_of(run, victim))
    (note,) = (note for note in report.notes if "complains" in note)
    assert note.endswith("excluded, and that is held to the bytes where these are read")
    (finding,) = report.findings
    assert finding.where == "excluded update"


def test_a_complaint_of_another_update_than_the_contract_accepted_is_a_note(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, victim = losing(one_round, tmp_path / "run", monkeypatch)
    facts, account = run.read_facts(), Identity.load(disk_of(run, victim) / "identity.json").account
    with closing(EmbeddedChain(run.chain_path, chain_id=facts.chain_id)) as chain:
        head = chain.w3.eth.get_block("latest")
    here = int(head["number"]), bytes(head["hash"])
    other = Complaint(bytes.fromhex(facts.federation), 1, 1, victim, *(b"\5" * 32,) * 3, 4, *here)
    signed = Signed(other, sign(account, other, Domain(facts.chain_id, facts.contract)))
    file = tmp_path / "complaint.jsonl"
    file.write_text(json.dumps({"kind": "complaint", **signed_to_tree(signed)}) + "\n")
    report = audited(run, file)
    assert report.proven, [str(finding) for finding in report.findings]
    assert any(note.endswith("the contract accepted another update of it") for note in report.notes)


def test_a_hospital_brings_the_bytes_that_the_store_lacks(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def watch(disk: Path) -> None:
        lost = blob_of(disk, tmp_path / "run" / "blobs")
        lost.unlink()
        said.extend(told(disk))
        lost.unlink()
        said.extend([*told(disk), *told(disk)])

    run, victim = withholding(one_round, tmp_path / "run", monkeypatch, watch)
    assert said == [
        "round 1, attempt 1: brought to the contract; its bytes brought to the store",
        "round 1, attempt 1: the contract has accepted it; its bytes brought to the store",
        "round 1, attempt 1: the contract has accepted it",
    ]
    report = audited(run, journal_of(run, victim))
    assert report.proven, [str(finding) for finding in report.findings]
    assert any(note.startswith(f"round 1: {victim}") and "% of the sum" in note for note in report.notes)


def test_a_store_that_cannot_be_written_is_told(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    withholding(
        one_round, tmp_path / "run", monkeypatch, lambda disk: said.extend(told(disk, store=str(nowhere)))
    )
    assert "; its bytes could not be brought to the store: " in said[0]


def test_a_hospital_that_comes_too_late_complains_and_the_audit_finds_for_it(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, show: Show
) -> None:
    run, victim = withholding(small_config, tmp_path / "run", monkeypatch)
    journal = journal_of(run, victim)
    (complaint,) = lines_of(journal, "complaint")
    assert (complaint["round"], complaint["attempt"], complaint["hospital"]) == (1, 1, victim)
    assert audited(run).proven, "the ledger alone does not show what the coordinator was sent"
    (finding,) = audited(run, journal).findings
    assert (finding.round, finding.hospital) == (1, victim)
    assert f"its hospital complains, having read the ledger up to block {complaint['block']}" in finding.found
    # The complaint is enough, without the journal, the run or a key.
    alone = tmp_path / "complaint.jsonl"
    alone.write_text(json.dumps(complaint) + "\n")
    assert [f.hospital for f in audited(run, alone).findings] == [victim]
    with shown(run) as url:
        facts = run.read_facts()
        words = ("--rpc", url, "--contract", facts.contract, "--store", run.root / "blobs")
        ended = show("audit", *words, "--journal", alone)
    assert ended.code == 90
    assert f"round 1, hospital {victim}" in ended.out.replace("\n", " ")
    assert show("audit", run.root, "--journal", journal).code == 90


def test_the_watch_complains_too_and_its_exit_code_says_so(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, show: Show
) -> None:
    run, victim = withholding(one_round, tmp_path / "run", monkeypatch)
    with shown(run):
        ended = show("member", "watch", disk_of(run, victim))
        again = show("member", "watch", disk_of(run, victim))
    assert ended.code == 70
    assert "the journal complains of it" in " ".join(ended.out.split())
    assert again.code == 0, "it complains once"
    assert len(lines_of(journal_of(run, victim), "complaint")) == 1


def test_one_that_is_left_out_under_one_root_complains_too(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config.with_changes({"ledger.recording": "root"})
    said: list[str] = []
    run, victim = withholding(config, tmp_path / "run", monkeypatch, lambda disk: said.extend(told(disk)))
    assert said == ["round 1, attempt 1: the round is open: what it has accepted shows when it is closed"]
    (complaint,) = lines_of(journal_of(run, victim), "complaint")
    assert complaint["round"] == 1
    (finding,) = audited(run, journal_of(run, victim)).findings
    assert (finding.round, finding.hospital) == (1, victim)


def test_one_root_takes_what_a_hospital_brings_unseen(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = one_round.with_changes({"ledger.recording": "root"})
    said: list[str] = []
    run, victim = withholding(
        config,
        tmp_path / "run",
        monkeypatch,
        lambda disk: said.extend([*told(disk, unseen=True), *told(disk)]),
    )
    assert said[0] == "round 1, attempt 1: brought to the contract"
    assert said[1] == "round 1, attempt 1: the contract has accepted it"
    report = audited(run, journal_of(run, victim))
    assert report.proven, [str(finding) for finding in report.findings]


def test_a_hospital_without_money_says_so_and_complains_later(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poor(self: RemoteChain, address: str) -> None:
        raise ChainError(f"{address} has no ether")

    monkeypatch.setattr(RemoteChain, "fund", poor)
    said: list[str] = []
    run, victim = withholding(
        small_config, tmp_path / "run", monkeypatch, lambda disk: said.extend(told(disk))
    )
    assert said == [
        "round 1, attempt 1: the round is open, and the contract does not have it yet; it could not be "
        f"brought: {victim} has no ether"
    ]
    assert len(lines_of(journal_of(run, victim), "complaint")) == 1


def test_a_cause_on_the_ledger_is_no_complaints_matter(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, victim = withholding(one_round, tmp_path / "run", monkeypatch)
    coordinator = Identity.load(run.keys / "coordinator.json").account
    with closing(EmbeddedChain(run.chain_path, chain_id=run.read_facts().chain_id)) as chain:
        ledger = FederationLedger(chain.w3, run.read_facts().contract, coordinator)
        ledger.membership.suspend(victim)
    with shown(run):
        assert told(disk_of(run, victim)) == ["round 1, attempt 1: this hospital is suspended"]
    assert lines_of(journal_of(run, victim), "complaint") == []


def test_an_attempt_that_is_given_up_for_everyone_is_no_complaints_matter(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def abort(self: Coordinator, *rest: object) -> object:
        self.ledger.abort(1, "second thoughts")
        raise QuorumError("given up")

    with monkeypatch.context() as patch, pytest.raises(QuorumError):
        patch.setattr(Coordinator, "_close", abort)
        run_federation(one_round, tmp_path / "run")
    run = run_federation(one_round, tmp_path / "run")
    journals = sorted(run.hospitals.glob("*/0x*/journal.jsonl"))
    assert [line for journal in journals for line in lines_of(journal, "complaint")] == []
    assert audited(run, *journals).proven


def test_one_whose_update_was_kept_back_before_the_attempt_was_given_up_and_is_not_asked_again_is_found(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the coordinator was sent it may have read; the ledger shows no more than who was asked."""

    def abort(self: Coordinator, *rest: object) -> object:
        self.ledger.abort(1, "second thoughts")
        raise QuorumError("given up")

    with monkeypatch.context() as patch, pytest.raises(QuorumError):
        patch.setattr(Coordinator, "_close", abort)
        withholding(one_round, tmp_path / "run", monkeypatch)
    run = RunDirectory(tmp_path / "run")
    journals = sorted(run.hospitals.glob("*/0x*/journal.jsonl"))
    with closing(EmbeddedChain(run.chain_path, chain_id=run.read_facts().chain_id)) as chain:
        views = FederationViews.attach(chain.w3, run.read_facts().contract)
        (attempt,) = aborted_attempts(views, 1)
    (victim,) = set(attempt.participants) - set(attempt.accepted.values())

    def not_asked(*words: Any, **more: Any) -> dict[str, HospitalNode]:
        members = register_hospitals(*words, **more)
        return {address: member for address, member in members.items() if address != victim}

    with monkeypatch.context() as patch:
        patch.setattr("server.coordinator.register_hospitals", not_asked)
        run_federation(one_round, tmp_path / "run")
    assert audited(run).proven, "the ledger alone does not show what the coordinator was sent"
    (finding,) = audited(run, *journals).findings
    assert (finding.round, finding.hospital) == (1, victim)
    assert finding.found.startswith("none; not asked: the coordinator kept back what it was sent")


def test_an_honest_run_has_no_complaint(small_config: Config, tmp_path: Path) -> None:
    run = run_federation(small_config, tmp_path / "run")
    journals = sorted(run.hospitals.glob("*/0x*/journal.jsonl"))
    assert [line for journal in journals for line in lines_of(journal, "complaint")] == []
    report = audited(run, *journals)
    assert report.proven, [str(finding) for finding in report.findings]
    with shown(run):
        for journal in journals:
            assert told(journal.parents[1]) == ["round 2, attempt 1: the contract has accepted it"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "its update stands in the round"),
        ({"attempt": 2}, "attempt 2 counted for nobody: attempt 1 was finalized"),
        ({"round": 2}, "the round is not finalized"),
        ({"round": 2**64 - 1}, "the round is not finalized"),
    ],
    ids=["accepted", "attempt", "round", "far"],
)
def test_a_complaint_that_the_record_contradicts_is_a_note(
    one_round: Config, tmp_path: Path, changes: dict[str, int], why: str
) -> None:
    run = run_federation(one_round, tmp_path / "run")
    facts = run.read_facts()
    account = Identity.load(run.hospital(0) / "identity.json").account
    with closing(EmbeddedChain(run.chain_path, chain_id=facts.chain_id)) as chain:
        head = chain.w3.eth.get_block("latest")
    values = {"round": 1, "attempt": 1, **changes}
    message = Complaint(
        federation=bytes.fromhex(facts.federation),
        hospital=account.address,
        root=b"\5" * 32,
        commitment=b"\6" * 32,
        found=bytes(32),
        phase=4,
        block=int(head["number"]),
        block_hash=bytes(head["hash"]),
        **values,
    )
    signed = Signed(message, sign(account, message, Domain(facts.chain_id, facts.contract)))
    file = tmp_path / "complaint.jsonl"
    file.write_text(json.dumps({"kind": "complaint", **signed_to_tree(signed)}) + "\n")
    report = audited(run, file)
    assert report.proven, [str(finding) for finding in report.findings]
    (note,) = (note for note in report.notes if "complains" in note)
    assert note.endswith(why)


def test_a_complaint_that_somebody_else_signed_is_none(one_round: Config, tmp_path: Path) -> None:
    run = run_federation(one_round, tmp_path / "run")
    copy = Path(shutil.copyfile(next(run.hospitals.glob("0000/0x*/journal.jsonl")), tmp_path / "journal"))
    facts = run.read_facts()
    ours, theirs = (Identity.load(run.hospital(i) / "identity.json").account for i in (0, 1))
    message = Complaint(
        bytes.fromhex(facts.federation), 1, 1, theirs.address, *(bytes(32),) * 3, 4, 0, bytes(32)
    )
    signed = Signed(message, sign(ours, message, Domain(facts.chain_id, facts.contract)))
    with copy.open("a") as file:
        file.write(json.dumps({"kind": "complaint", **signed_to_tree(signed)}) + "\n")
    (finding,) = audited(run, copy).findings
    assert finding.found == f"signed by {ours.address}"
