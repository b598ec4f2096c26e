"""A committee of hospitals judges every update on images of its own before it counts."""

import json
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from federation import Recorder, digests, run_federation
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from clients.app import hospital_app
from clients.hospital import Hospital
from clients.member import Member
from fedcxr.audit.audit import audit
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.config import Config
from fedcxr.errors import FederationError, QuorumError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.messages import AttestationReply, ValidateRequest
from fedcxr.round_lines import read_rounds
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.training.trainer import TrainingReport
from fedcxr.update.layout import Vector
from server.events import HospitalAnswered
from server.tally import Tally

POISONED = "synthetic-02"


@pytest.fixture(scope="session")
def judged(four_hospitals: Config) -> Config:
    return four_hospitals.with_changes(
        {
            "validation.policy": "committee",
            "validation.fold": 0.3,
            "federation.rounds": 1,
            "federation.round_timeout": 600,  # shorter than the contract's window: nobody waits for that
        }
    )


@pytest.fixture(scope="module")
def approved(judged: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Two rounds of good updates; never written to after this."""
    config = judged.with_changes({"federation.rounds": 2})
    return run_federation(config, tmp_path_factory.mktemp("approved") / "run")


class Poisoner(Hospital):
    """Trains, and turns what it learned around, many times over."""

    def _train_from(
        self, base: Vector, member: Member, round_number: int
    ) -> tuple[TrainingReport, int, Vector]:
        report, samples, vector = super()._train_from(base, member, round_number)
        if self.name == POISONED:
            statistics = np.zeros(member.layout.size, np.bool_)
            for spec, place in zip(member.layout.tensors, member.layout.slices, strict=True):
                statistics[place] = spec.statistic
            vector = np.where(statistics, vector, base - 200 * (vector - base)).astype(np.float32)
        return report, samples, vector


def app_of(kind: type[Hospital], tamper: Callable[[ValidateRequest], ValidateRequest]) -> ClientApp:
    """The hospitals' app with a hospital of another kind; requests to judge pass through ``tamper``."""

    class Shown(kind):  # type: ignore[valid-type, misc]
        def validate(self, request: ValidateRequest) -> AttestationReply:
            return super().validate(tamper(request))  # type: ignore[no-any-return]

    return hospital_app(Shown)


def sealing(protect: Callable[[Member, NDArray[np.uint32], int, int], bytes]) -> type[Hospital]:
    """A hospital that seals as ``protect`` does, if it is the one to be watched."""

    class Sealing(Member):
        def protect(
            self, payload: NDArray[np.uint32], round_number: int, weight: int, mask: object = None
        ) -> bytes:
            return protect(super(), payload, round_number, weight)  # type: ignore[arg-type]

    class Dishonest(Hospital):
        @cached_property
        def member(self) -> Member:
            member = super().member
            if self.name != POISONED:
                return member
            return Sealing(member.disk, member.identity, member.membership)

    return Dishonest


def garbled(member: Member, payload: NDArray[np.uint32], round_number: int, weight: int) -> bytes:
    blob = member.protect(payload, round_number, weight)
    return blob[:-1] + bytes([blob[-1] ^ 1])


def shortened(member: Member, payload: NDArray[np.uint32], round_number: int, weight: int) -> bytes:
    return member.protect(payload[:-1].copy(), round_number, weight)


def on_ledger(run: RunDirectory) -> tuple[FederationLedger, EmbeddedChain]:
    chain = EmbeddedChain(run.chain_path, chain_id=run.config.ledger.chain_id)
    return FederationLedger.attach(chain.w3, run.read_facts().contract), chain


def test_good_updates_are_approved_credited_and_audited(judged: Config, approved: RunDirectory) -> None:
    run = approved
    ledger, chain = on_ledger(run)
    for number in (1, 2):
        view = ledger.round(number)
        assert len(view.included) == 4
        attested = ledger.views.round_events(number).of("UpdateAttested")
        assert len(attested) == 12  # four judge three each
        assert all(values["accepted"] for values in attested)
    assert sum(ledger.views.credits().values()) == 2 * judged.ledger.rewards
    chain.close()
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    assert report.clean, report.findings
    assert report.proven


def test_what_a_hospital_judges_on_it_does_not_train_on(
    judged: Config, approved: RunDirectory, tmp_path: Path
) -> None:
    plain = judged.with_changes({"validation.policy": "none"})
    without = run_federation(plain, tmp_path / "plain")

    def images(run: RunDirectory) -> int:
        return sum(hospital.images for hospital in read_rounds(run)[0].hospitals.values())

    assert images(approved) < images(without)
    assert digests(approved)[:1] != digests(without)


def test_a_poisoned_update_does_not_count(judged: Config, tmp_path: Path) -> None:
    recorder = Recorder()
    app = app_of(Poisoner, lambda request: request)
    run = run_federation(judged, tmp_path / "run", client=app, observer=recorder)
    ledger, chain = on_ledger(run)
    view = ledger.round(1)
    (left_out,) = set(view.accepted) - set(view.counted)
    chain.close()
    said = [e.reason for e in recorder.of(HospitalAnswered) if e.hospital == left_out]  # type: ignore[attr-defined]
    assert said == ["the committee did not approve of its update"]
    names = {h.address: name for name, h in read_rounds(run)[0].hospitals.items()}
    assert names[left_out] == POISONED
    assert len(view.included) == 3
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    assert report.clean, report.findings
    assert any("committee did not approve" in note for note in report.notes)


@pytest.mark.parametrize(("protect", "reason"), [(garbled, "does not open"), (shortened, "are expected")])
def test_an_update_that_could_not_be_added_holds_nobody_up(
    judged: Config,
    tmp_path: Path,
    protect: Callable[[Member, NDArray[np.uint32], int, int], bytes],
    reason: str,
) -> None:
    """It could not be shown to validators, and would stay undecided: it never comes to the contract."""
    recorder = Recorder()
    client = hospital_app(sealing(protect))
    run = run_federation(judged, tmp_path / "run", client=client, observer=recorder)
    (line,) = read_rounds(run)
    assert len(line.included) == 3
    said = [e.reason for e in recorder.of(HospitalAnswered) if e.reason]  # type: ignore[attr-defined]
    assert len(said) == 1
    assert reason in said[0]


def test_an_update_of_another_length_is_rejected_by_its_judges(
    judged: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that relays what it has not opened; its validators see what it is."""
    monkeypatch.setattr(Tally, "take", lambda self, blob, root, view, address: None)
    run = run_federation(judged, tmp_path / "run", client=hospital_app(sealing(shortened)))
    ledger, chain = on_ledger(run)
    verdicts = ledger.views.round_events(1).of("UpdateAttested")
    chain.close()
    assert [v["accepted"] for v in verdicts].count(False) == 3
    (line,) = read_rounds(run)
    assert len(line.included) == 3


def test_a_verdict_is_in_its_validators_journal(approved: RunDirectory) -> None:
    kinds = [
        json.loads(line)["kind"]
        for path in sorted(approved.hospitals.rglob("journal.jsonl"))
        for line in path.read_text().splitlines()
    ]
    assert kinds.count("attestation") == 2 * 12


def test_a_validator_judges_nothing_but_what_the_contract_accepted(judged: Config, tmp_path: Path) -> None:
    """A server that shows something else gets no verdict, and the round no quorum."""
    from dataclasses import replace

    def tamper(request: ValidateRequest) -> ValidateRequest:
        return replace(request, bulk=request.bulk[:-1] + bytes([request.bulk[-1] ^ 1]))

    with pytest.raises(FederationError, match="too few verdicts"):
        run_federation(judged, tmp_path / "run", client=app_of(Hospital, tamper))
    run = RunDirectory(tmp_path / "run")
    ledger, chain = on_ledger(run)
    assert ledger.round(1).status == "closed"
    assert not ledger.views.round_events(1).of("UpdateAttested")
    chain.close()
    # The same command goes on where it stands, with validators that are shown the truth.
    whole = run_federation(judged, tmp_path / "run")
    assert len(digests(whole)) == 1


def test_a_round_that_nobody_judges_ends_when_its_time_is_over(
    judged: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No block is made meanwhile: the coordinator goes by the clock, and the contract by the next block."""
    from dataclasses import replace

    def tamper(request: ValidateRequest) -> ValidateRequest:
        return replace(request, bulk=request.bulk[:-1] + bytes([request.bulk[-1] ^ 1]))

    client = app_of(Hospital, tamper)
    with pytest.raises(FederationError, match="too few verdicts"):
        run_federation(judged, tmp_path / "run", client=client)
    now, later = time.time, float(2 * judged.validation.window)
    monkeypatch.setattr("time.time", lambda: now() + later)
    with pytest.raises(QuorumError, match="the round is aborted"):
        run_federation(judged, tmp_path / "run", client=client)
