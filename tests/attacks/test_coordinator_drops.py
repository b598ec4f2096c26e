"""The coordinator leaves an update out without cause: every way to do it ends in a finding.

It loses the bytes of an update that it brought to the contract from another account; it asks again and drops
one whose update it has read; it never brings what it got; it has the chain's endpoint lie about a sender.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from federation import run_federation
from lying_proxy import LyingProxy

from fedcxr.audit.audit import Request, audit, conduct_audit
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.ledger_source import EndpointLedger
from fedcxr.audit.sources import RunSources
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.embedded.evm import FAUCET
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.config import Config
from fedcxr.errors import QuorumError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.protocol import RoundView, Verdict
from fedcxr.ledger.signing import SignedSubmission
from fedcxr.messages import UpdateReply
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from server.coordinator import Coordinator
from server.tally import Tally

ACCOMPLICE: LocalAccount = Account.from_key(b"7" * 32)


@pytest.fixture
def one_round(small_config: Config) -> Config:
    return small_config.with_changes({"federation.rounds": 1, "federation.round_timeout": 20})


def audited(run: RunDirectory, **more: Any) -> AuditReport:
    return audit(run, [Identity.load(run.keys / "auditor.json").envelope_key], **more)


def found(report: AuditReport) -> list[tuple[str, str]]:
    return [(finding.where, finding.hospital) for finding in report.findings]


def told_of(report: AuditReport, hospital: str) -> list[str]:
    return [note for note in report.notes if f"{hospital} was" in note]


def fund(ledger: FederationLedger, account: LocalAccount) -> None:
    chain = SimpleNamespace(w3=ledger._w3, faucet=FAUCET.public_key.to_checksum_address())
    EmbeddedChain.fund(chain, account.address)  # type: ignore[arg-type]


def own_account(run: Path, hospital: str) -> LocalAccount:
    accounts = (Identity.load(path).account for path in run.glob("hospitals/*/identity.json"))
    return next(account for account in accounts if account.address == hospital)


def lose_after_bringing(
    config: Config,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    bringer: Callable[[str], LocalAccount] = lambda hospital: ACCOMPLICE,
) -> tuple[RunDirectory, str]:
    """A run whose coordinator has one update brought by another account, and loses its bytes."""
    submit, include = FederationLedger.submit, Tally.include
    victims: list[str] = []

    def elsewhere(self: FederationLedger, batch: Sequence[SignedSubmission]) -> list[Verdict]:
        if not victims:
            victims.append(batch[0].message.hospital)
            account = bringer(victims[0])
            fund(self, account)
            FederationLedger(self._w3, self.address, account).submit_direct(batch[0])
        return submit(self, batch)

    def lose(self: Tally, view: RoundView, address: str) -> str:
        if address in victims:
            self._drop_other(view, address, root=b"")  # it had been added when it came in
            name = view.accepted[address].root.hex()
            (out / "blobs" / name[:2] / name).unlink()
        return include(self, view, address)

    with monkeypatch.context() as patch:
        patch.setattr(FederationLedger, "submit", elsewhere)
        patch.setattr(Tally, "include", lose)
        run = run_federation(config, out)
    return run, victims[0]


def test_bytes_lost_after_an_accomplice_brought_the_update_are_found(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, victim = lose_after_bringing(one_round, tmp_path / "run", monkeypatch)
    report = audited(run)
    assert found(report) == [("blob", victim)]
    assert f"brought to the contract by {ACCOMPLICE.address}" in report.findings[0].found


def test_a_hospital_that_brings_its_update_itself_and_keeps_its_bytes_accuses_nobody(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    run, victim = lose_after_bringing(
        one_round, out, monkeypatch, lambda hospital: own_account(out, hospital)
    )
    report = audited(run)
    assert report.proven, found(report)
    assert any(f"the update of {victim} was brought to the contract by itself" in n for n in report.notes)


def test_an_endpoint_is_not_believed_who_sent_a_transaction(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, victim = lose_after_bringing(one_round, tmp_path / "run", monkeypatch)
    facts = run.read_facts()

    def as_if_itself(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getTransactionByHash" and int(result["from"], 16) == int(ACCOMPLICE.address, 16):
            return {**result, "from": victim.lower()}
        return result

    copied = Path(shutil.copyfile(run.chain_path, tmp_path / "ledger.sqlite"))
    with contextlib.ExitStack() as stack:
        chain = stack.enter_context(closing(EmbeddedChain(copied, chain_id=facts.chain_id)))
        server = stack.enter_context(closing(RpcServer(chain)))
        proxy = stack.enter_context(closing(LyingProxy(server.url, as_if_itself)))
        head = bytes(chain.w3.eth.get_block("latest")["hash"])
        ledger = EndpointLedger(proxy.url, facts.contract, head, facts)
        report = conduct_audit(ledger, RunSources(run), Request())
    assert found(report) == [("blob", victim)]


def give_up(config: Config, out: Path, monkeypatch: pytest.MonkeyPatch, *, after: str = "_close") -> None:
    """Have every update accepted, read them, and abort the attempt."""

    def abort(self: Coordinator, *rest: object) -> object:
        self.ledger.abort(1, "second thoughts")
        raise QuorumError("given up")

    with monkeypatch.context() as patch, pytest.raises(QuorumError):
        patch.setattr(Coordinator, after, abort)
        run_federation(config, out)


def dropping(victims: list[str]) -> Callable[[str, UpdateReply], UpdateReply | None]:
    """Replies of the first hospital that answers go missing."""

    def tamper(name: str, reply: UpdateReply) -> UpdateReply | None:
        if not victims:
            victims.append(reply.hospital)
        return None if reply.hospital in victims else reply

    return tamper


def test_one_that_is_asked_again_and_dropped_is_found(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up(one_round, tmp_path / "run", monkeypatch)
    victims: list[str] = []
    report = audited(run_federation(one_round, tmp_path / "run", tamper=dropping(victims)))
    assert found(report) == [("participants", victims[0])]
    (finding,) = report.findings
    assert finding.expected == "an update of it, for attempt 1 had accepted its update"
    assert finding.found == "nothing of it came to the contract"


def test_one_that_is_dropped_once_its_update_was_under_a_root_is_found(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = one_round.with_changes({"ledger.recording": "root"})
    close = FederationLedger.close

    def close_and_give_up(self: FederationLedger, number: int, list_root: bytes) -> None:
        close(self, number, list_root)
        self.abort(1, "second thoughts")
        raise QuorumError("given up")

    with monkeypatch.context() as patch, pytest.raises(QuorumError):
        patch.setattr(FederationLedger, "close", close_and_give_up)
        run_federation(config, tmp_path / "run")
    victims: list[str] = []
    report = audited(run_federation(config, tmp_path / "run", tamper=dropping(victims)))
    assert found(report) == [("participants", victims[0])]


def test_one_that_was_suspended_between_the_attempts_is_told_with_the_reason(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victims: list[str] = []

    def abort(self: Coordinator, *rest: object) -> object:
        self.ledger.abort(1, "one has to go")
        victims.append(self.ledger.members()[0].address)
        self.ledger.membership.suspend(victims[0])  # type: ignore[attr-defined]
        raise QuorumError("given up")

    with monkeypatch.context() as patch, pytest.raises(QuorumError):
        patch.setattr(Coordinator, "_close", abort)
        run_federation(one_round, tmp_path / "run")
    report = audited(run_federation(one_round, tmp_path / "run"))
    assert report.proven, found(report)
    said = f"round 1: {victims[0]} was in attempt 1, and has no update in it: "
    assert told_of(report, victims[0]) == [said + "it was suspended before the round was opened"]


def test_what_is_never_brought_to_the_contract_is_told_and_found_in_its_hospitals_journal(
    one_round: Config, tmp_path: Path
) -> None:
    victims: list[str] = []
    run = run_federation(one_round, tmp_path / "run", tamper=dropping(victims))
    report = audited(run)
    assert report.proven
    said = f"round 1: {victims[0]} was asked, and has no update in it: nothing of it came to the contract"
    assert told_of(report, victims[0]) == [said]
    journals = sorted(run.hospitals.glob("*/0x*/journal.jsonl"))
    report = audited(run, journals=journals)
    assert [finding.hospital for finding in report.findings] == victims
    assert "kept back what it was sent, or it was lost" in report.findings[0].found


def test_a_spoilt_copy_that_the_contract_rejects_hides_nothing(one_round: Config, tmp_path: Path) -> None:
    """The contract looks at the signature last, and names the hospital that a copy says it is of."""
    victims: list[str] = []

    def spoil(name: str, reply: UpdateReply) -> UpdateReply:
        if not victims:
            victims.append(reply.hospital)
        changed = reply.signature[:10] + bytes([reply.signature[10] ^ 1]) + reply.signature[11:]
        return replace(reply, signature=changed) if reply.hospital in victims else reply

    run = run_federation(one_round, tmp_path / "run", tamper=spoil)
    report = audited(run)
    said = "the contract rejected what was sent in its name: BadSignature"
    assert told_of(report, victims[0]) == [
        f"round 1: {victims[0]} was asked, and has no update in it: {said}"
    ]
    report = audited(run, journals=sorted(run.hospitals.glob("*/0x*/journal.jsonl")))
    assert [finding.hospital for finding in report.findings] == victims
    assert said in report.findings[0].found
