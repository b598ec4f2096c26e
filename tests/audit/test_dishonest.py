"""A coordinator, or a hospital, that lies where no contract can stop it: the audit must tell who did what."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation import Recorder, run_federation
from flwr.serverapp import Grid
from typer.testing import CliRunner

import fedcxr.privacy.sealed
from fedcxr.aggregation.weighted_sum import WeightedSum
from fedcxr.audit.audit import audit
from fedcxr.audit.findings import AuditReport
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import FederationError, QuorumError, StoreError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.protocol import RoundView
from fedcxr.messages import UpdateReply
from fedcxr.privacy.envelope import seal
from fedcxr.privacy.keys import EnvelopePrivateKey, EnvelopePublicKey
from fedcxr.privacy.protection import UpdateContext
from fedcxr.round_lines import RoundLine, read_rounds
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import fixed_point
from fedcxr.update.fixed_point import Ring
from fedcxr.update.forms.form import Form
from fedcxr.update.layout import Layout, Vector
from server.coordinator import Coordinator
from server.events import HospitalAnswered, RoundFinalized
from server.records import RoundRecords
from server.registration import HospitalNode
from server.round import Round
from server.tally import Tally


@pytest.fixture
def one_round(small_config: Config) -> Config:
    return small_config.with_changes({"federation.rounds": 1})


def audited(run: RunDirectory) -> AuditReport:
    return audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])


def places(report: AuditReport) -> set[str]:
    return {finding.where for finding in report.findings}


def test_a_model_that_is_not_the_sum_is_found_though_ledger_and_file_agree(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = WeightedSum.model

    def improved(self: WeightedSum, base: Vector, exponents: Sequence[int]) -> Vector:
        model = honest(self, base, exponents)
        model[7] = np.nextafter(model[7], np.float32(np.inf))  # one bit of one parameter
        return model

    with monkeypatch.context() as patch:
        patch.setattr(WeightedSum, "model", improved)
        run = run_federation(one_round, tmp_path / "run")
    report = audited(run)
    assert places(report) == {"model digest"}
    assert report.findings[0].round == 1
    assert report.released == ""


def test_other_weights_than_the_contracts_are_found(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = WeightedSum.add

    def favour(self: WeightedSum, update: Ring, weight: int) -> None:
        honest(self, update, weight)
        if weight == max(weights):
            np.add(self._total, update, out=self._total)

    weights: list[int] = []
    collect = Round.collect

    def look(self: Round, *rest: object) -> None:
        weights.extend(self.view.weights.values())
        collect(self, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Round, "collect", look)
        patch.setattr(WeightedSum, "add", favour)
        run = run_federation(one_round, tmp_path / "run")
    assert places(audited(run)) == {"aggregate root", "model digest"}


def test_an_update_excluded_without_cause_is_found(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Tally.include
    victims: list[str] = []

    def censor(self: Tally, view: RoundView, address: str) -> str:
        if victims:
            return honest(self, view, address)
        victims.append(address)
        self._drop_other(view, address, root=b"")  # it had been added when it came in
        self.excluded[address] = "EnvelopeError: it did not open"
        return "excluded: it did not open"

    with monkeypatch.context() as patch:
        patch.setattr(Tally, "include", censor)
        run = run_federation(one_round, tmp_path / "run")
    (finding,) = audited(run).findings
    assert (finding.where, finding.hospital, finding.round) == ("excluded update", victims[0], 1)
    assert "it did not open" in finding.expected


def test_an_update_excluded_under_a_former_account_is_found(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contract takes any account that a seat has had; no reason then stands under the present one."""

    class Away(BaseException):
        pass

    def leave(event: object) -> None:
        if isinstance(event, RoundFinalized):
            raise Away

    with pytest.raises(Away):
        run_federation(small_config, tmp_path / "run", observer=leave)
    run, order = RunDirectory(tmp_path / "run"), tmp_path / "order.json"
    keys = run.hospital(0) / "identity.json"
    former = Identity.load(keys).account.address
    for words in (["rotate", run.hospital(0), "--out", order], ["relay", run.root, order]):
        assert CliRunner().invoke(app, ["member", *map(str, words)]).exit_code == 0
    present = Identity.load(keys).account.address
    include, finalize, record = Tally.include, FederationLedger.finalize, RoundRecords.write

    def lie(self: Tally, view: RoundView, address: str) -> str:
        if address != present:
            return include(self, view, address)
        self._drop_other(view, address, root=b"")
        self.excluded[address] = "LayoutError: values out of range"
        return "excluded: values out of range"

    def under_the_former(reasons: Mapping[str, str]) -> dict[str, str]:
        return {former if address == present else address: why for address, why in reasons.items()}

    def finalize_so(self: FederationLedger, number: int, *, excluded: dict[str, str], **rest: Any) -> None:
        finalize(self, number, excluded=under_the_former(excluded), **rest)

    def record_so(self: RoundRecords, current: Round, *rest: Any) -> RoundLine:
        current.tally.excluded = under_the_former(current.tally.excluded)
        return record(self, current, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Tally, "include", lie)
        patch.setattr(FederationLedger, "finalize", finalize_so)
        patch.setattr(RoundRecords, "write", record_so)
        run_federation(small_config, run.root)
    for key in ("auditor", "coordinator"):
        (finding,) = audit(run, [Identity.load(run.keys / f"{key}.json").envelope_key]).findings
        assert (finding.where, finding.hospital, finding.round) == ("excluded update", present, 2)


def test_exponents_chosen_to_clip_the_updates_are_found(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = fixed_point.choose_exponents

    def narrow(layout: Layout, base: Vector, last_delta: Vector | None, limit: int) -> tuple[int, ...]:
        return tuple(exponent + 8 for exponent in honest(layout, base, last_delta, limit))

    with monkeypatch.context() as patch:
        patch.setattr(fixed_point, "choose_exponents", narrow)
        run = run_federation(one_round, tmp_path / "run")
    assert places(audited(run)) == {"round configuration's exponents"}


def too_far(payload: Ring) -> Ring:
    """Entries that no weight allows."""
    return payload | np.uint32(0x7000_0000)


@pytest.mark.parametrize(
    ("attack", "said"),
    [(too_far, "LayoutError"), (lambda payload: payload[:-1].copy(), "EnvelopeError")],
    ids=["out of range", "another length"],
)
def test_a_hospital_that_seals_what_cannot_be_added_is_left_out_and_the_audit_agrees(
    one_round: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    attack: Callable[[Ring], Ring],
    said: str,
) -> None:
    dishonest: list[str] = []

    def seal_something(
        payload: Ring,
        context: UpdateContext,
        keys: list[EnvelopePublicKey],
        form: Form,
        *,
        shown: bool,
    ) -> object:
        if not dishonest:
            dishonest.append(context.hospital)
        sent = attack(payload) if context.hospital in dishonest else payload
        return seal(sent, context, keys, form, shown=shown)

    recorder = Recorder()
    with monkeypatch.context() as patch:
        patch.setattr(fedcxr.privacy.sealed, "seal", seal_something)
        run = run_federation(one_round, tmp_path / "run", observer=recorder)
    reasons = {e.hospital: e.reason for e in recorder.events if isinstance(e, HospitalAnswered)}
    assert [address for address, reason in reasons.items() if reason] == dishonest
    assert said in reasons[dishonest[0]] or "excluded" in reasons[dishonest[0]]
    (line,) = read_rounds(run)
    assert line.excluded[dishonest[0]].startswith(said)
    report = audited(run)
    assert report.clean, [str(f) for f in report.findings]
    assert (report.updates, bool(report.released)) == (3, True)


def test_a_hospital_left_out_of_the_next_attempt_after_its_update_was_read_is_found(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = Coordinator._close

    def give_up(self: Coordinator, *rest: object) -> object:
        self.ledger.abort(1, "second thoughts")
        raise QuorumError("given up")

    with monkeypatch.context() as patch, pytest.raises(QuorumError):
        patch.setattr(Coordinator, "_close", give_up)
        run_federation(one_round, tmp_path / "run")
    run_round = Coordinator._run_round
    victims: list[str] = []

    def without(
        self: Coordinator, number: int, base: Vector, previous: object, members: dict[str, HospitalNode]
    ) -> object:
        victims.append(min(members))
        chosen = {address: member for address, member in members.items() if address not in victims}
        return run_round(self, number, base, previous, chosen)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Coordinator, "_run_round", without)
        run = run_federation(one_round, tmp_path / "run")
    assert Coordinator._close is close
    report = audited(run)
    (finding,) = report.findings
    assert (finding.where, finding.hospital, finding.round) == ("participants", victims[0], 1)
    assert f"round 1: {victims[0]} was registered, but not asked" in report.notes
    coordinator = Identity.load(run.keys / "coordinator.json").account.address
    said = f"round 1, attempt 1: given up by {coordinator} (second thoughts), with 3 updates accepted"
    assert said in report.notes


def test_a_refusal_that_the_coordinator_kept_back_is_in_the_hospitals_journal(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect = Round.collect

    def crafted(self: Round, grid: Grid, members: dict[str, HospitalNode], timeout: float) -> None:
        victim, base = next(iter(members)), self.base
        self.base = base + np.float32(1e-3)
        collect(self, grid, {victim: members[victim]}, 1)
        self.base = base
        collect(self, grid, {a: m for a, m in members.items() if a != victim}, timeout)

    def keep_back(self: Round, reply: object, address: str) -> None:
        raise FederationError("what refusal?")

    with monkeypatch.context() as patch:
        patch.setattr(Round, "collect", crafted)
        patch.setattr(Round, "_put_refusal", keep_back)
        run = run_federation(one_round, tmp_path / "run")
    key = Identity.load(run.keys / "auditor.json").envelope_key
    assert audit(run, [key]).proven
    journals = sorted(run.hospitals.glob("*/0x*/journal.jsonl"))
    assert len(journals) == 3
    (finding,) = audit(run, [key], journals=journals).findings
    assert finding.expected == "its refusal on the ledger"
    (journal,) = (path for path in journals if finding.hospital in str(path))
    # What a hospital did not sign accuses nobody.
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    (refusal,) = (line for line in lines if line["kind"] == "refusal")
    refusal["seen"] = bytes.fromhex(refusal["seen"])[::-1].hex()
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = audit(run, [key], journals=[journal]).findings
    assert [f.expected for f in found] == ["what a hospital signed"]


def test_an_update_that_never_came_to_the_contract_is_found_in_the_journal(
    one_round: Config, tmp_path: Path
) -> None:
    config = one_round.with_changes({"federation.round_timeout": 20})
    lost: list[str] = []

    def lose(name: str, reply: UpdateReply) -> UpdateReply | None:
        if not lost:
            lost.append(reply.hospital)
        return None if reply.hospital in lost else reply

    run = run_federation(config, tmp_path / "run", tamper=lose)
    journals = sorted(run.hospitals.glob("*/0x*/journal.jsonl"))
    key = Identity.load(run.keys / "auditor.json").envelope_key
    assert [f.hospital for f in audit(run, [key], journals=journals).findings] == lost
    journals = [path for path in journals if lost[0] not in str(path)]
    with journals[0].open("ab") as file:
        file.write(b'{"kind": "ref')  # the hospital was killed
    cut = audit(run, [key], journals=journals)
    assert cut.proven
    assert any(said.endswith("cut short") for said in cut.notes)
    with pytest.raises(StoreError, match="journal cannot be read"):
        audit(run, [key], journals=[tmp_path / "none"])


@pytest.mark.parametrize("victim", ["coordinator", "auditor"])
def test_a_key_sealed_badly_to_one_reader_accuses_nobody_where_the_coordinators_key_is_at_hand(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    dishonest: list[str] = []

    def seal_badly(
        payload: Ring,
        context: UpdateContext,
        readers: list[EnvelopePublicKey],
        form: Form,
        *,
        shown: bool,
    ) -> object:
        if not dishonest:
            dishonest.append(context.hospital)
        if context.hospital not in dishonest:
            return seal(payload, context, readers, form, shown=shown)
        other = EnvelopePrivateKey.generate("MLKEM768_X25519").public

        class Badly(EnvelopePublicKey):
            def seal(self, key: bytes, info: bytes) -> bytes:
                return other.seal(key, info)

        at = ("coordinator", "auditor").index(victim)
        badly = [Badly(r.data) if i == at else r for i, r in enumerate(readers)]
        return seal(payload, context, badly, form, shown=shown)

    with monkeypatch.context() as patch:
        patch.setattr(fedcxr.privacy.sealed, "seal", seal_badly)
        run = run_federation(one_round, tmp_path / "run")
    (line,) = read_rounds(run)
    assert list(line.excluded) == (dishonest if victim == "coordinator" else [])
    coordinator, auditor = (
        Identity.load(run.keys / f"{who}.json").envelope_key for who in ("coordinator", "auditor")
    )
    assert audit(run, [coordinator]).proven
    assert audit(run, [auditor, coordinator]).proven
    (finding,) = audit(run, [auditor]).findings
    assert finding.hospital == dishonest[0]
    assert "sealed it badly" in finding.found
