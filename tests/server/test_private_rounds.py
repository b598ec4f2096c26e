"""Rounds with differential privacy over the real path: what is spent, written down, refused and proven."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from unittest.mock import patch

import pytest
from federation import Recorder, run_federation

from clients import private_training
from clients.disk import HospitalDisk
from clients.hospital import Hospital
from fedcxr.audit.audit import audit
from fedcxr.config import Config, Phantom
from fedcxr.data.phantom import generate
from fedcxr.errors import ConfigError, QuorumError, StoreError
from fedcxr.messages import RegisterRequest, UpdateReply
from fedcxr.report.summary import write_summary
from fedcxr.round_lines import read_rounds
from fedcxr.store.privacy_record import PrivacyRecord
from fedcxr.store.run_directory import RunDirectory
from fedcxr.training.private_trainer import train_privately
from server.events import HospitalAnswered

NAMES = [f"synthetic-{k:02}" for k in range(1, 4)]


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def private(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp("data") / "three-hospitals"
    generate(root, Phantom(hospitals=3, patients=12, size=64), 10)
    return small_config.with_changes(
        {
            "name": "private",
            "data.root": str(root),
            "model.norm": "group",
            "training.self_supervised": "none",
            "training.local_epochs": 2,
            "training.batch_size": 4,
            "differential_privacy.epsilon": 4.0,
        }
    )


@pytest.fixture(scope="module")
def ended(private: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return run_federation(private, tmp_path_factory.mktemp("private") / "run")


def record_of(run: RunDirectory, index: int = 0) -> PrivacyRecord:
    with PrivacyRecord.held(run.hospital(index) / "privacy.json") as record:
        return record


def test_what_is_signed_is_what_the_hospital_wrote_down(private: Config, ended: RunDirectory) -> None:
    lines = read_rounds(ended)
    for index, name in enumerate(NAMES):
        (spending,) = record_of(ended, index).federations.values()
        assert [release.round for release in spending.releases] == [1, 2]
        assert [release.steps for release in spending.releases] == [spending.round_steps] * 2
        signed = [line.hospitals[name].privacy for line in lines]
        assert signed[1] == spending.statement
        assert signed[0] is not None
        assert 0 < signed[0]["epsilon"] < spending.statement["epsilon"] <= 4.0
        assert signed[0]["delta"] == 0.5 / spending.patients


def test_metrics_tell_nothing_of_patients_but_what_is_counted(ended: RunDirectory) -> None:
    for line in read_rounds(ended):
        for hospital in line.hospitals.values():
            assert hospital.loss is None
            assert hospital.terms == {}
            assert hospital.format == "fedcxr/metrics/4"
            assert hospital.privacy is not None
            rate = hospital.privacy["sample_rate"]
            assert hospital.passes == round(rate * hospital.images * hospital.steps)


def test_the_audit_is_clean_and_says_whose_word_it_is(ended: RunDirectory) -> None:
    report = audit(ended, [])
    assert report.findings == []
    (note,) = [note for note in report.notes if note.startswith("differential privacy")]
    assert "by the hospitals' own word: epsilon up to 3.9" in note
    assert "of 4.0 that the federation allows" in note


def test_the_summary_says_what_was_spent(ended: RunDirectory) -> None:
    said = write_summary(ended).read_text()
    assert "differential privacy by patient, each hospital for its own, with nobody else trusted" in said
    assert re.search(r"epsilon 4 at most in all rounds; spent so far: synthetic-01 (3\.9|4\.0)", said)


def test_a_round_is_trained_once_whatever_asks_for_it_again(private: Config, tmp_path: Path) -> None:
    """The server dies with the replies in its hands: the next one gets the same values, for nothing."""
    out, trained, seen = tmp_path / "run", [], []

    def dies(name: str, reply: UpdateReply) -> UpdateReply:
        raise Killed

    def counted(*args: object, **kwargs: object) -> object:
        trained.append(kwargs["round_index"])
        return train_privately(*args, **kwargs)  # type: ignore[arg-type]

    with patch.object(private_training, "train_privately", counted):
        with pytest.raises(Killed):
            run_federation(private, out, tamper=dies)
        kept = sorted(out.glob("hospitals/*/0x*/private.safetensors"))
        assert trained == [1] * len(kept)
        before = [path.read_bytes() for path in kept]

        def looks(name: str, reply: UpdateReply) -> UpdateReply:
            if reply.round == 1:
                seen.append([path.read_bytes() for path in kept])
            return reply

        run = run_federation(private, out, tamper=looks)
    assert seen[0][: len(before)] == before
    assert sorted(trained) == [1, 1, 1, 2, 2, 2]
    for index in range(3):
        (spending,) = record_of(run, index).federations.values()
        assert [release.round for release in spending.releases] == [1, 2]
    assert audit(run, []).findings == []


def test_a_hospital_that_dies_before_it_has_written_the_release_down_does_so_before_it_sends(
    private: Config, tmp_path: Path
) -> None:
    out, wrote = tmp_path / "run", PrivacyRecord.write

    def dies(self: PrivacyRecord, key: str, spending: private_training.Spending) -> PrivacyRecord:
        if spending.releases:
            raise Killed
        return wrote(self, key, spending)

    with patch.object(PrivacyRecord, "write", dies), pytest.raises(Killed):
        run_federation(private, out)
    disks = [path.parent.parent for path in out.glob("hospitals/*/0x*/private.safetensors")]
    assert len(disks) == 1
    with PrivacyRecord.held(disks[0] / "privacy.json") as record:
        assert [spending.releases for spending in record.federations.values()] == [()]
    run = run_federation(private, out)
    for index in range(3):
        (spending,) = record_of(run, index).federations.values()
        assert [release.round for release in spending.releases] == [1, 2]


def shared_budget(run: RunDirectory, index: int, record: Path, epsilon: float) -> None:
    path = run.hospital(index) / "hospital.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'record = "{record}"', f"epsilon = {epsilon}"]
    if not record.exists():
        PrivacyRecord.begin(record)
    head = 'name = "x"\nledger = "off"\n[data]\nroot = "x"\n'
    path.write_text(head + "\n".join(["[privacy]", *lines]) + "\n", encoding="utf-8")


def test_federations_over_the_same_patients_add_up(private: Config, tmp_path: Path) -> None:
    record, recorder = tmp_path / "spent.json", Recorder()
    for nth, seed in enumerate((1, 2)):
        run = RunDirectory(tmp_path / f"run-{nth}")
        shared_budget(run, 0, record, 7.0)
        config = private.with_changes({"seed": seed})
        run_federation(config, run.root, observer=recorder if nth else None)
    answers = [event for event in recorder.of(HospitalAnswered) if isinstance(event, HospitalAnswered)]
    refused = [event for event in answers if event.reason]
    assert len(refused) == 2  # in either round, and by the one that has spent
    assert len({event.hospital for event in refused}) == 1
    log = (tmp_path / "run-1" / "hospitals" / "0000" / "hospital.log").read_text()
    assert "this federation may spend an epsilon of 4.0" in log
    assert "has 4.0 and" in log
    assert len(json.loads(record.read_text())["federations"]) == 1
    second = RunDirectory(tmp_path / "run-1", trusted=True)
    assert [len(line.included) for line in read_rounds(second)] == [2, 2]
    assert audit(second, []).findings == []


def test_a_hospital_with_a_budget_takes_no_part_in_training_without_noise(
    private: Config, tmp_path: Path
) -> None:
    run, record = RunDirectory(tmp_path / "run"), tmp_path / "spent.json"
    shared_budget(run, 0, record, 100.0)
    run_federation(private.with_changes({"differential_privacy.epsilon": None}), run.root)
    assert [len(line.hospitals) for line in read_rounds(RunDirectory(run.root, trusted=True))] == [2, 2]
    log = (run.hospital(0) / "hospital.log").read_text()
    assert "this federation trains without differential privacy" in log
    with PrivacyRecord.held(record) as held:
        assert not held.federations


def test_a_record_that_does_not_know_of_what_was_released_trains_nobody(
    ended: RunDirectory, tmp_path: Path
) -> None:
    disk = HospitalDisk(Path(shutil.copytree(ended.hospital(0), tmp_path / "hospital")))
    (disk.root / "privacy.json").unlink()
    training = private_training.PrivateTraining(disk, Hospital(disk).member, 9)
    with pytest.raises(StoreError, match="`fedcxr privacy begin` makes an empty one"):
        training.check(3, bytes(32))
    PrivacyRecord.begin(disk.root / "privacy.json")
    with pytest.raises(StoreError, match="says nothing of this federation, in which this hospital released"):
        training.check(3, bytes(32))
    with pytest.raises(StoreError, match="is there already"):
        PrivacyRecord.begin(disk.root / "privacy.json")


def test_two_links_to_one_record_are_one_record(ended: RunDirectory, tmp_path: Path) -> None:
    shared = tmp_path / "shared.json"
    PrivacyRecord.begin(shared)
    disk = HospitalDisk(Path(shutil.copytree(ended.hospital(0), tmp_path / "hospital")))
    (disk.root / "privacy.json").unlink()
    (disk.root / "privacy.json").symlink_to(shared)
    assert private_training.record_path(disk) == shared.resolve()


def test_deltas_have_a_bound_of_the_hospitals_own(private: Config, tmp_path: Path) -> None:
    """A delta of one would be within any epsilon."""
    run = RunDirectory(tmp_path / "run")
    shared_budget(run, 0, tmp_path / "spent.json", 100.0)
    run_federation(private.with_changes({"differential_privacy.delta": 0.3}), run.root)
    assert [len(line.included) for line in read_rounds(RunDirectory(run.root, trusted=True))] == [2, 2]
    log = (run.hospital(0) / "hospital.log").read_text()
    assert "a delta of 0.3 of each patient" in log


def test_the_step_that_would_exceed_the_budget_is_not_taken(private: Config, tmp_path: Path) -> None:
    """With less noise the budget ends in mid-round: the steps that fit are taken, and then none."""
    config = private.with_changes(
        {
            "differential_privacy.noise_multiplier": 0.8,
            "differential_privacy.epsilon": 5.0,
            "federation.rounds": 4,
        }
    )
    with pytest.raises(QuorumError):
        run_federation(config, tmp_path / "run")
    for index in range(3):
        (spending,) = record_of(RunDirectory(tmp_path / "run"), index).federations.values()
        steps = [release.steps for release in spending.releases]
        assert spending.taken == spending.steps < 4 * spending.round_steps
        assert steps[0] == spending.round_steps or len(steps) == 1
        assert spending.plan.spent(spending.taken) <= 5.0 < spending.plan.spent(spending.taken + 1)
    log = (tmp_path / "run" / "hospitals" / "0000" / "hospital.log").read_text()
    assert "steps have spent the epsilon of 5.0 that this federation has of each patient" in log


def test_a_hospital_that_says_nothing_of_its_budget_does_not_join(
    private: Config, ended: RunDirectory, tmp_path: Path
) -> None:
    disk = HospitalDisk(ended.hospital(0))
    disk.__dict__["settings"] = disk.settings.model_copy(update={"privacy": None})
    asked: list[RegisterRequest] = []

    class Curious(Hospital):
        def register(self, request: RegisterRequest) -> object:  # type: ignore[override]
            asked.append(request)
            raise Killed

    from clients.app import hospital_app

    with pytest.raises(Killed):
        run_federation(private, tmp_path / "run", client=hospital_app(Curious))
    with (
        patch("clients.hospital.check_federation", lambda *args: None),
        pytest.raises(ConfigError, match=r"Add a table \[privacy\] with record"),
    ):
        Hospital(disk).register(asked[0])


def test_masked_updates_can_be_private_too(private: Config, tmp_path: Path) -> None:
    config = private.with_changes(
        {
            "privacy.envelope": "masked",
            "privacy.auditor": False,
            "privacy.colluders": 0.0,
            "federation.min_hospitals": 3,
            "ledger.recording": "root",
        }
    )
    run = run_federation(config, tmp_path / "run")
    lines = read_rounds(run)
    assert all(line.seeds for line in lines)
    assert all(h.privacy is not None for line in lines for h in line.hospitals.values())
    assert audit(run, []).findings == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "other", "federations": {}}', '{"a": 1}'])
def test_a_damaged_record_trains_nobody(text: str, tmp_path: Path) -> None:
    path = tmp_path / "privacy.json"
    path.write_text(text)
    with pytest.raises(StoreError, match="nothing is trained on them"), PrivacyRecord.held(path):
        pass
    assert path.read_text() == text
    with pytest.raises(StoreError, match="cannot be kept"), PrivacyRecord.held(tmp_path / "gone" / "p.json"):
        pass
