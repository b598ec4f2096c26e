"""What is settled before a run begins."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from clients.disk import HospitalDisk
from fedcxr.config import Config
from fedcxr.errors import ConfigError, ModelError, TableError
from fedcxr.run.preparation import make_evaluator, open_or_create, prepare_simulation, require_means
from server.grids.simulation import on_local_grid, simulate


def test_missing_data_are_named_before_anything_is_measured_or_made(
    small_config: Config, tmp_path: Path
) -> None:
    config = small_config.with_changes({"data.root": str(tmp_path), "training.precision": "auto"})
    with pytest.raises(TableError, match=r"train.csv: no such file; data.root must name"):
        simulate(config, tmp_path / "run", on_local_grid)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="FEDCXR_NOWHERE is not set"):
        require_means(small_config.with_changes({"data.root": "$FEDCXR_NOWHERE"}))


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


def test_a_configuration_can_be_corrected_until_the_federation_is_founded(
    small_config: Config, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    wrong = small_config.with_changes({"federation.min_hospitals": 9})
    run = open_or_create(out, wrong)
    with pytest.raises(ConfigError, match=r"federation.min_hospitals = 9: the partition has 3 hospitals"):
        prepare_simulation(run, lambda what, done, total: None)
    judged = small_config.with_changes({"validation.policy": "committee"})
    with pytest.raises(ConfigError, match=r"validation.committee = 4 .* the partition has 3"):
        prepare_simulation(open_or_create(out, judged), lambda what, done, total: None)
    assert simulate(small_config.with_changes({"federation.rounds": 1}), out, on_local_grid).founded
    with Image.open(out / "partition.png") as picture:
        assert picture.width > picture.height
    with pytest.raises(
        ConfigError, match=r"another run: federation.rounds is 1 there and 7 here; seed is 3 "
    ):
        open_or_create(out, small_config.with_changes({"seed": 99, "federation.rounds": 7}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.name": "nosuch"}, "the registry has"),
        ({"model.name": "semsxl"}, "Did you mean semssxl"),
        ({"model.name": "resnet50"}, "model.name = plain, model.encoder = resnet50"),
        ({"model.pretrained": "none.safetensors"}, "none.safetensors"),
        (
            {"model.name": "plain", "model.encoder": "vit_small_patch16_224", "federation.calibrate": True},
            "with the encoder vit_small_patch16_224 has none",
        ),
        ({"data.uncertain_per_label": {"Edma": "ones"}}, "unknown label"),
    ],
    ids=str,
)
def test_what_can_be_known_to_fail_makes_no_run(
    small_config: Config, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises((ConfigError, ModelError), match=said):
        open_or_create(tmp_path / "run", small_config.with_changes(changes))
    assert not (tmp_path / "run").exists()


def test_a_simulation_wants_both_tables_and_the_device_that_it_names(small_config: Config) -> None:
    with pytest.raises(ConfigError, match=r"data.valid_csv is empty"):
        require_means(small_config.with_changes({"data.valid_csv": "", "data.phantom": None}))
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device here"):
            require_means(small_config.with_changes({"training.device": "cuda"}))


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
