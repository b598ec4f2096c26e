"""What hospitals keep between rounds, through whole federations: killed, given up and opened again."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from federation import digests, run_federation
from lives import REMEMBERING, audited
from safetensors.torch import load_file
from typer.testing import CliRunner

import fedcxr.cli  # noqa: F401  registers the commands
from clients.app import hospital_app
from clients.hospital import Hospital
from clients.member import Member
from fedcxr.audit.audit import Request, conduct_audit
from fedcxr.audit.ledger_source import RunLedger
from fedcxr.audit.sources import StoreSources
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import ConfigError, QuorumError
from fedcxr.messages import UpdateReply
from fedcxr.models.norm import batch_norm_tensors
from fedcxr.models.registry import create_model
from fedcxr.round_lines import read_rounds
from fedcxr.run.ledger_access import reading_ledger
from fedcxr.store.garbage import Waste, find_waste, read_attempts
from fedcxr.store.hospital_state import HospitalState
from fedcxr.store.run_directory import RunDirectory
from fedcxr.training.shared_tensors import federation_layout, load_released
from fedcxr.update.layout import Vector


class KilledError(BaseException):
    """Stands for a process that ends: nothing catches it."""


@pytest.fixture(scope="module")
def config(small_config: Config) -> Config:
    """Three rounds, and everything that a hospital can keep."""
    return small_config.with_changes({"federation.rounds": 3, **REMEMBERING})


@pytest.fixture(scope="module")
def whole(config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """The run that nothing disturbed."""
    return run_federation(config, tmp_path_factory.mktemp("whole") / "run")


def states(run: RunDirectory) -> dict[str, dict[str, bytes]]:
    """Every hospital's memory after the last round, by its folder."""
    return {
        disk.name: {n: t.numpy().tobytes() for n, t in HospitalState.of_disk(disk).last().items()}
        for disk in sorted(run.hospitals.iterdir())
    }


def test_a_federation_keeps_two_rounds_a_hospital_and_audits_clean(whole: RunDirectory) -> None:
    for disk in whole.hospitals.iterdir():
        state = HospitalState.of_disk(disk)
        assert state.rounds == [2, 3]
        assert {name.split(".")[0] for name in state.last()} == {"teacher", "self_supervised", "local"}
    report = audited(whole)
    assert [*map(str, report.findings), *report.unchecked] == []


class DyingHospital(Hospital):
    """Its process ends once, in round 2, after its memory is on the disk and before its update leaves."""

    died = False

    def _train_from(self, base: Vector, member: Member, round_number: int) -> object:  # type: ignore[override]
        result = super()._train_from(base, member, round_number)
        if round_number == 2 and not DyingHospital.died:
            DyingHospital.died = True
            raise KilledError
        return result


def test_a_run_killed_after_a_hospitals_memory_was_written_ends_bit_identical(
    config: Config, whole: RunDirectory, tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        run_federation(config, tmp_path / "run", client=hospital_app(DyingHospital))
    disks = [HospitalState.of_disk(disk).rounds for disk in (tmp_path / "run" / "hospitals").iterdir()]
    assert [1, 2] in disks, "round 2's memory was there when it died"
    run = run_federation(config, tmp_path / "run")
    assert digests(run) == digests(whole)
    assert states(run) == states(whole)


def test_a_round_given_up_and_opened_again_starts_from_the_memory_of_the_round_before_it(
    config: Config, whole: RunDirectory, tmp_path: Path
) -> None:
    strict = config.with_changes({"federation.min_hospitals": 3})
    rounds: list[int] = []

    def damage_one(name: str, reply: UpdateReply) -> UpdateReply:
        rounds.append(reply.round)
        return replace(reply, bulk=reply.bulk[:-1] + b"?") if rounds.count(2) == 1 else reply

    with pytest.raises(QuorumError):
        run_federation(strict, tmp_path / "run", tamper=damage_one)
    assert rounds.count(2) == 3, "all hospitals had trained in the attempt that was given up"
    run = run_federation(strict, tmp_path / "run")
    assert digests(run) == digests(whole)
    assert states(run) == states(whole)


def test_without_its_memory_a_hospital_would_end_elsewhere(
    config: Config, whole: RunDirectory, tmp_path: Path
) -> None:
    """The comparison above can fail: a forgotten teacher or queue changes the bits."""

    class Forgetful(Hospital):
        def _train_from(self, base: Vector, member: Member, round_number: int) -> object:  # type: ignore[override]
            for path in (self.disk.root / member.address / "state").glob("*"):
                path.unlink()
            return super()._train_from(base, member, round_number)

    off = config.with_changes({"ledger.backend": "off"})
    run = run_federation(off, tmp_path / "run", client=hospital_app(Forgetful))
    assert digests(run)[0] == digests(whole)[0]
    assert digests(run)[1:] != digests(whole)[1:]


def test_normalisation_stays_at_the_hospital_and_differs_between_hospitals(whole: RunDirectory) -> None:
    model = create_model(whole.config.model, seed=whole.config.seed)
    own = batch_norm_tensors(model)
    assert own
    assert not own & {spec.name for spec in whole.read_layout().tensors}
    kept = [HospitalState.of_disk(disk).last() for disk in sorted(whole.hospitals.iterdir())]
    name = "local." + min(name for name in own if name.endswith("running_mean"))
    assert not torch.equal(kept[0][name], kept[1][name])


def test_a_released_model_is_scored_with_each_hospitals_own_normalisation(
    config: Config, tmp_path: Path
) -> None:
    off = config.with_changes({"ledger.backend": "off", "federation.rounds": 2})
    run = run_federation(off, tmp_path / "run", evaluated=True)
    evaluations = [line.evaluation for line in read_rounds(run)]
    assert all(evaluation is not None for evaluation in evaluations)


def predict(run: RunDirectory, out: Path, *more: str) -> BaseException | None:
    root = run.config.data.root_path
    arguments = [str(run.root), "--data", str(root), "--csv", str(root / "valid.csv"), "--out", str(out)]
    return CliRunner().invoke(app, ["predict", *arguments, *more]).exception


def test_predict_asks_whose_normalisation(whole: RunDirectory, tmp_path: Path) -> None:
    refused = predict(whole, tmp_path / "none.csv")
    assert isinstance(refused, ConfigError)
    assert "--hospital" in str(refused)
    for index in (0, 1):
        path = whole.hospital(index)
        assert predict(whole, tmp_path / f"{index}.csv", "--hospital", str(path)) is None
    assert (tmp_path / "0.csv").read_text() != (tmp_path / "1.csv").read_text()


def test_only_what_is_trained_travels_and_the_released_model_is_whole(
    small_config: Config, tmp_path: Path
) -> None:
    config = small_config.with_changes(
        {"training.strategy": "probe", "training.self_supervised": "none", "federation.rounds": 1}
    )
    run = run_federation(config, tmp_path / "run", evaluated=True)
    names = {spec.name for spec in run.read_layout().tensors}
    assert names == {"classifier.weight", "classifier.bias"}
    assert run.model(1).stat().st_size < 20_000
    created = create_model(config.model, seed=config.seed)
    released = create_model(config.model, seed=config.seed + 1)
    load_released(run.model(1), released, config, frozen=run.frozen_path)
    state = released.state_dict()
    for name, tensor in created.state_dict().items():
        assert torch.equal(state[name], tensor) == (name not in names), name
    report = audited(run)
    assert [*map(str, report.findings), *report.unchecked] == []
    assert predict(run, tmp_path / "p.csv") is None
    refused = predict(run, tmp_path / "p.csv", "--hospital", str(run.hospital(0)))
    assert isinstance(refused, ConfigError)


@pytest.fixture(scope="module")
def heads_only(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    config = small_config.with_changes(
        {"training.strategy": "selective", "training.train": ["classifier"], "federation.rounds": 1}
    )
    return run_federation(config, tmp_path_factory.mktemp("heads") / "run")


def by_third_party(run: RunDirectory) -> list[str]:
    """The findings of an audit that has the store and not the run's files."""
    sources = StoreSources(str(run.root / "blobs"))
    return [*map(str, conduct_audit(RunLedger(run), sources, Request([], workers=0)).findings)]


def test_the_store_alone_has_the_weights_that_no_round_trains(
    heads_only: RunDirectory, tmp_path: Path
) -> None:
    run = RunDirectory(Path(shutil.copytree(heads_only.root, tmp_path / "run")))
    store, root = run.blob_store(), bytes.fromhex(run.read_layout().frozen)
    held = load_file(run.frozen_path)
    values = np.concatenate([held[name].numpy().reshape(-1) for name in sorted(held)])
    assert np.array_equal(store.get(root, 1 << 30).view("<f4"), values)
    assert collect_waste(run) == []
    assert by_third_party(run) == []
    path = Path(store.path(root))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert any(root.hex() in finding for finding in by_third_party(run))
    path.unlink()
    assert any(root.hex() in finding for finding in by_third_party(run))
    assert any(root.hex() in str(finding) for finding in audited(run).findings)


def collect_waste(run: RunDirectory) -> list[Waste]:
    store = run.blob_store()
    with reading_ledger(run) as ledger:
        return find_waste(run, store, read_attempts(ledger, store))


def test_frozen_weights_that_were_changed_are_found(heads_only: RunDirectory, tmp_path: Path) -> None:
    run = RunDirectory(Path(shutil.copytree(heads_only.root, tmp_path / "run")))
    data = bytearray(run.frozen_path.read_bytes())
    data[-1] ^= 1
    run.frozen_path.write_bytes(data)
    assert any("frozen.safetensors" in str(finding) for finding in audited(run).findings)
    assert "frozen.safetensors" in str(predict(run, tmp_path / "p.csv"))


def test_a_hospital_with_other_frozen_weights_is_told(small_config: Config) -> None:
    """Its encoder would not be the one that the others' heads are trained on."""
    config = small_config.with_changes({"training.strategy": "probe"})
    one, other = create_model(config.model, seed=1), create_model(config.model, seed=1)
    assert federation_layout(one, config) == federation_layout(other, config)
    with torch.no_grad():
        other.encoder[0].weight[0, 0, 0, 0] += 1e-6  # type: ignore[index]
    assert federation_layout(one, config) != federation_layout(other, config)


def test_gradual_unfreezing_moves_the_heads_first_and_everything_last(
    small_config: Config, tmp_path: Path
) -> None:
    from fedcxr.update import model_file

    config = small_config.with_changes(
        {"training.strategy": "gradual", "federation.rounds": 3, "ledger.backend": "off"}
    )
    run = run_federation(config, tmp_path / "run")
    layout = run.read_layout()
    models = [model_file.read(run.model(number), layout) for number in range(4)]
    moved = []
    for before, after in itertools.pairwise(models):
        moved.append(
            {
                spec.name
                for spec, place in zip(layout.tensors, layout.slices, strict=True)
                if not np.array_equal(before[place], after[place])
            }
        )
    assert "classifier.weight" in moved[0]
    assert "encoder.0.weight" not in moved[0] | moved[1]
    assert "encoder.0.weight" in moved[2]
    assert moved[0] < moved[1] < moved[2]
