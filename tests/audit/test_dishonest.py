"""A coordinator, or a hospital, that lies where no contract can stop it: the audit must tell who did what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from federation import Recorder, run_federation

import clients.hospital
from fedcxr.aggregation.weighted_sum import Ring, WeightedSum
from fedcxr.audit.audit import audit
from fedcxr.audit.findings import AuditReport
from fedcxr.config import Config
from fedcxr.privacy.envelope import EnvelopeContext, seal
from fedcxr.privacy.keys import EnvelopePublicKey
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import fixed_point
from fedcxr.update.layout import Layout, Vector
from server.events import HospitalAnswered
from server.round import Round


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
    honest = Round._include
    victims: list[str] = []

    def censor(self: Round, address: str) -> None:
        if victims:
            return honest(self, address)
        victims.append(address)
        self.excluded[address] = "EnvelopeError: it did not open"
        return None

    with monkeypatch.context() as patch:
        patch.setattr(Round, "_include", censor)
        run = run_federation(one_round, tmp_path / "run")
    (finding,) = audited(run).findings
    assert (finding.where, finding.hospital, finding.round) == ("excluded update", victims[0], 1)
    assert "it did not open" in finding.expected


def test_exponents_chosen_to_clip_the_updates_are_found(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = fixed_point.choose_exponents

    def narrow(layout: Layout, base: Vector, last_delta: Vector | None) -> tuple[int, ...]:
        return tuple(exponent + 8 for exponent in honest(layout, base, last_delta))

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

    def seal_something(payload: Ring, context: EnvelopeContext, keys: list[EnvelopePublicKey]) -> object:
        if not dishonest:
            dishonest.append(context.hospital)
        return seal(attack(payload) if context.hospital in dishonest else payload, context, keys)

    recorder = Recorder()
    with monkeypatch.context() as patch:
        patch.setattr(clients.hospital, "seal", seal_something)
        run = run_federation(one_round, tmp_path / "run", observer=recorder)
    reasons = {e.hospital: e.reason for e in recorder.events if isinstance(e, HospitalAnswered)}
    assert [address for address, reason in reasons.items() if reason] == dishonest
    assert said in reasons[dishonest[0]] or "excluded" in reasons[dishonest[0]]
    (line,) = run.read_metrics()
    assert line["excluded"][dishonest[0]].startswith(said)
    report = audited(run)
    assert report.clean, [str(f) for f in report.findings]
    assert (report.updates, bool(report.released)) == (3, True)
