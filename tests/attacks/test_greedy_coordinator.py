"""The adversary is a coordinator that asks a hospital for more than the hospital allows in ``hospital.toml``.

Nothing is trained, and the hospital's signed refusal is in its journal, on the ledger and in the audit.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from federation import Recorder, run_federation

from clients import hospital as hospital_module
from clients.app import hospital_app
from clients.disk import HospitalDisk
from clients.hospital import Hospital
from clients.member import Member
from clients.shard import Shard, load_shard
from fedcxr.audit.audit import AuditReport, audit
from fedcxr.config import Config
from fedcxr.errors import ConfigError, FedcxrError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.signing import Registration
from fedcxr.store.hospital_settings import HospitalLimits, HospitalSettings
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.training.trainer import TrainingReport
from fedcxr.update.layout import Vector
from server.events import HospitalAnswered

CAREFUL = "synthetic-01"  # the hospital that has limits


class Run:
    """A federation in which one hospital has limits, and what came of it."""

    def __init__(self, config: Config, out: Path, **limits: object) -> None:
        self.trained: list[tuple[str, int]] = []
        trained = self.trained

        class Limited(Hospital):
            def __init__(self, disk: HospitalDisk) -> None:
                super().__init__(disk)
                if self.name == CAREFUL:
                    chosen = HospitalLimits.model_validate(limits)
                    disk.__dict__["settings"] = disk.settings.model_copy(update={"limits": chosen})

            def _train_from(
                self, base: Vector, member: Member, round_number: int
            ) -> tuple[TrainingReport, int, Vector]:
                trained.append((self.name, round_number))
                return super()._train_from(base, member, round_number)

        self.recorder = Recorder()
        self.directory = RunDirectory(out, trusted=True)
        try:
            run_federation(config, out, client=hospital_app(Limited), observer=self.recorder)
        except FedcxrError:
            assert self.recorder.of(HospitalAnswered), "a run that ends without an update has asked for one"

    @property
    def refused(self) -> list[int]:
        """The rounds that the careful hospital has refused, by its journal."""
        (disk,) = (
            disk
            for disk in self.directory.hospitals.iterdir()
            if CAREFUL in (disk / "hospital.toml").read_text()
        )
        entries = [json.loads(line) for line in next(disk.glob("0x*/journal.jsonl")).read_text().splitlines()]
        rounds = [entry["round"] for entry in entries if entry["kind"] == "refusal"]
        assert len(rounds) == (disk / "hospital.log").read_text().count("refused, for the limits here")
        return rounds

    @property
    def trained_there(self) -> list[int]:
        return [number for name, number in self.trained if name == CAREFUL]

    def audit(self) -> AuditReport:
        key = Identity.load(self.directory.keys / "auditor.json").envelope_key
        return audit(self.directory, [key], journals=sorted(self.directory.hospitals.rglob("journal.jsonl")))


def assert_refused(run: Run, *rounds: int) -> None:
    """These rounds were refused before anything was trained, and everybody can know."""
    assert run.refused == list(rounds)
    assert not set(run.trained_there) & set(rounds)
    said = [event.reason for event in run.recorder.of(HospitalAnswered) if event.reason]  # type: ignore[attr-defined]
    assert said == ["it refused the round, which is beyond its limits or the rules: see its own log"] * len(
        rounds
    )
    report = run.audit()
    assert report.clean, report.findings
    noted = [note for note in report.notes if "refused to train from the model that the ledger holds" in note]
    assert [note.partition(":")[0] for note in noted] == [f"round {number}" for number in rounds]


@pytest.fixture
def short(small_config: Config) -> Config:
    return small_config.with_changes({"federation.rounds": 1, "evaluation.bootstrap": 0})


@pytest.mark.parametrize(
    ("asked", "limits"),
    [
        ({"training.learning_rate": 0.5}, {"learning_rate": 0.01}),
        ({"training.batch_size": 2}, {"batch_size": 8}),
        ({}, {"images": 1000}),
        ({}, {"phases": ["pretraining", "calibration"]}),
        ({}, {"share": 0.3}),
        ({"ledger.deadline": 600}, {"deadline": 3600}),
    ],
    ids=["rate", "batch", "images", "phase", "share", "deadline"],
)
def test_a_round_beyond_the_limits_is_refused(
    short: Config, tmp_path: Path, asked: dict[str, object], limits: dict[str, object]
) -> None:
    run = Run(short.with_changes(asked), tmp_path / "run", **limits)
    assert_refused(run, 1)
    assert len(run.trained) == 2


def test_rounds_beyond_the_limit_are_refused_and_those_before_are_not(
    small_config: Config, tmp_path: Path
) -> None:
    run = Run(small_config, tmp_path / "run", rounds=1)
    assert_refused(run, 2)
    assert run.trained_there == [1]


def test_each_phase_is_asked_for_by_itself(small_config: Config, tmp_path: Path) -> None:
    config = small_config.with_changes(
        {
            "federation.rounds": 2,
            "federation.pretrain_rounds": 1,
            "federation.calibrate": True,
            "training.self_supervised": "ntxent",
            "training.pretrain_learning_rate": 0.5,
            "training.learning_rate": 0.001,
        }
    )
    run = Run(config, tmp_path / "a", phases=["training"])
    assert_refused(run, 1, 3)
    assert run.trained_there == [2]
    run = Run(config, tmp_path / "b", learning_rate=0.01)
    assert_refused(run, 1)
    assert run.trained_there == [2, 3]


def test_a_participant_with_nine_tenths_of_the_weight_is_refused(
    short: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inflated(disk: HospitalDisk, config: Config) -> Shard:
        shard = load_shard(disk, config)
        if disk.settings.name != "synthetic-02":
            return shard
        many = {
            name: np.concatenate([getattr(shard.training, name)] * 20)
            for name in ("rows", "targets", "mask", "patients", "studies")
        }
        return replace(shard, training=replace(shard.training, **many))

    monkeypatch.setattr(hospital_module, "load_shard", inflated)
    run = Run(short, tmp_path / "run", share=0.5)
    assert_refused(run, 1)
    log = next(p for p in run.directory.hospitals.glob("*/hospital.log") if "share of 0.9" in p.read_text())
    assert "at most 0.5 is allowed" in log.read_text()


def test_a_hospital_within_its_limits_trains_as_one_without(short: Config, tmp_path: Path) -> None:
    limits = {
        "rounds": 1,
        "learning_rate": 1.0,
        "batch_size": 8,
        "images": 2,
        "phases": ["training"],
        "share": 0.5,
        "deadline": 86_400,
    }
    run = Run(short, tmp_path / "run", **limits)
    assert_refused(run)
    assert len(run.trained) == 3


def test_a_limit_that_no_ledger_tells_is_not_taken_on_the_coordinators_word(
    short: Config, tmp_path: Path
) -> None:
    off = short.with_changes({"ledger.backend": "off"})
    for number, limits in enumerate(({"share": 1.0}, {"deadline": 1})):
        run = Run(off, tmp_path / str(number), **limits)
        assert run.trained_there == []
        assert len(run.trained) == 2


def test_a_hospital_that_judges_nothing_is_no_validator(small_config: Config, tmp_path: Path) -> None:
    config = small_config.with_changes(
        {
            "validation.policy": "committee",
            "validation.committee": 1,
            "federation.rounds": 1,
            "federation.round_timeout": 600,
        }
    )
    roles: dict[str, int] = {}
    register = FederationLedger.register

    def remember(self: FederationLedger, message: Registration, *rest: object) -> None:
        roles[message.member] = message.roles
        register(self, message, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FederationLedger, "register", remember)
        Run(config, tmp_path / "run", phases=["training"])
    assert sorted(roles.values()) == [1, 3, 3]


def test_a_refusal_that_the_coordinator_drops_is_found_with_the_journal(
    short: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FederationLedger, "refuse", lambda self, refusal, signature: None)
    run = Run(short, tmp_path / "run", images=1000)
    assert run.refused == [1]
    assert ["kept back that it was refused" in finding.found for finding in run.audit().findings] == [True]


def test_limits_are_read_from_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "hospital.toml"
    path.write_text(
        'name = "a"\nledger = "off"\n[data]\nroot = "/"\n[limits]\nrounds = 5\nphases = ["training"]\n'
    )
    settings = HospitalSettings.load(path)
    assert settings.limits == HospitalLimits(rounds=5, phases=("training",))
    path.write_text(settings.to_toml())
    assert HospitalSettings.load(path) == settings
    for wrong in ("rounds = 0", "round = 5", 'phases = ["all"]', "share = 1.5", "learning_rate = nan"):
        path.write_text(f'name = "a"\nledger = "off"\n[data]\nroot = "/"\n[limits]\n{wrong}\n')
        with pytest.raises(ConfigError, match="limits"):
            HospitalSettings.load(path)
