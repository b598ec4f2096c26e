"""What is settled before a run begins."""

from pathlib import Path

import pytest

from clients.disk import HospitalDisk
from fedcxr.config import Config
from fedcxr.errors import ConfigError, TableError
from server.preparation import make_evaluator, open_or_create, prepare_simulation, require_tables
from server.simulation import on_local_grid, simulate


def test_missing_data_are_named_before_anything_is_measured_or_made(
    small_config: Config, tmp_path: Path
) -> None:
    config = small_config.with_changes({"data.root": str(tmp_path), "training.precision": "auto"})
    with pytest.raises(TableError, match=r"train.csv: no such file; data.root must name"):
        simulate(config, tmp_path / "run", on_local_grid)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="FEDCXR_NOWHERE is not set"):
        require_tables(small_config.with_changes({"data.root": "$FEDCXR_NOWHERE"}))


def test_what_was_measured_is_not_measured_again(small_config: Config, tmp_path: Path) -> None:
    config = small_config.with_changes({"training.precision": "auto"})
    told: list[tuple[int, int]] = []
    run = open_or_create(tmp_path / "run", config, lambda what, done, total: told.append((done, total)))
    assert run.config.training.precision in ("bfloat16", "float32")
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1]
    told.clear()
    again = open_or_create(tmp_path / "run", config, lambda what, done, total: told.append((done, total)))
    assert again.config == run.config
    assert told == []
    with pytest.raises(ConfigError, match="holds another run"):
        open_or_create(tmp_path / "run", config.with_changes({"seed": 99}))


def test_each_simulated_hospital_gets_a_disk_of_its_own(small_config: Config, tmp_path: Path) -> None:
    run = open_or_create(tmp_path / "run", small_config)
    partition = prepare_simulation(run, lambda what, done, total: None)
    settings = [HospitalDisk(run.hospital(i)).settings for i in range(len(partition.names))]
    assert [s.name for s in settings] == list(partition.names)
    before = run.partition_path.stat().st_mtime_ns
    assert prepare_simulation(run, lambda what, done, total: None) == partition
    assert run.partition_path.stat().st_mtime_ns == before


def test_a_coordinator_without_a_validation_set_releases_models_unscored(
    small_config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_or_create(tmp_path / "run", small_config.with_changes({"data.root": str(tmp_path)}))
    assert make_evaluator(run) is None
    assert "not evaluated" in caplog.text
