import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from chexpert_tables import line, write_csv
from PIL import Image
from typer.testing import CliRunner, Result

from fedcxr.cli.app import app
from fedcxr.data.cache import ImageCache
from fedcxr.data.partition import Partition
from fedcxr.errors import ConfigError, DataError, ImageError, PartitionError, TableError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Twelve patients of two sites, with images, and the TOML file of a run on them."""
    root = tmp_path / "set"
    for split, numbers in (("train", range(8)), ("valid", range(8, 12))):
        lines = []
        for number in numbers:
            path = f"{split}/patient{number:05d}/study1/view1_frontal.png"
            (root / path).parent.mkdir(parents=True)
            Image.new("L", (40, 40), 20 * number).save(root / path)
            lines.append(line(path, ",".join(["1.0" if number % 2 else "-1.0"] * 14)))
        write_csv(root / f"{split}.csv", *lines)
    write_csv(
        root / "hospitals.csv",
        *(f"patient{number:05d},{'east' if number % 2 else 'west'}" for number in range(12)),
        header="patient,site",
    )
    file = tmp_path / "run.toml"
    file.write_text(f'name = "run"\n[data]\nroot = "{root}"\nsize = 32\n')
    return file


def test_check_counts_labels_and_says_that_all_is_well(experiment: Path) -> None:
    result = run("check", experiment, "--decode", "--set", "data.uncertain=smoothed")
    assert result.exit_code == 0, result.exception
    assert "train: 8 images, 8 studies, 8 patients" in result.output
    assert "smoothed" in result.output
    assert "All 12 images can be read; no patient is in both tables." in result.output


def test_check_names_missing_images_of_both_tables(experiment: Path) -> None:
    root = experiment.parent / "set"
    (root / "train/patient00003/study1/view1_frontal.png").unlink()
    (root / "valid/patient00009/study1/view1_frontal.png").write_bytes(b"")
    result = run("check", experiment)
    assert isinstance(result.exception, ImageError)
    assert "train.csv, row 5, column 'Path'" in str(result.exception)
    assert "valid.csv, row 3, column 'Path'" in str(result.exception)


def test_a_folder_without_tables_is_named_with_the_variable_that_it_came_from(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHEXPERT", str(tmp_path / "none"))
    for command in (("check",), ("partition", "--out", tmp_path / "out")):
        error = run(*command[:1], experiment, *command[1:], "--set", "data.root=$CHEXPERT").exception
        assert isinstance(error, TableError)
        assert "none/train.csv: no such file; data.root must name a folder in the CheXpert" in str(error)
        assert error.help == "data.root = '$CHEXPERT': let it name the folder that has train.csv."


def test_check_decode_finds_what_looking_does_not(experiment: Path) -> None:
    (experiment.parent / "set/train/patient00003/study1/view1_frontal.png").write_bytes(b"no image")
    assert run("check", experiment).exit_code == 0
    result = run("check", experiment, "--decode")
    assert isinstance(result.exception, ImageError)
    assert "not a JPEG or PNG image" in str(result.exception)


def test_check_finds_a_patient_in_both_tables(experiment: Path) -> None:
    result = run("check", experiment, "--set", "data.valid_csv=train.csv")
    assert isinstance(result.exception, PartitionError)


def test_prepare_decodes_both_tables_below_the_cache(experiment: Path, tmp_path: Path) -> None:
    result = run("prepare", experiment, "--cache", tmp_path / "cache")
    assert result.exit_code == 0, result.exception
    assert "8 images of 32 x 32" in result.output
    train, valid = (ImageCache.open(tmp_path / "cache" / "32px" / split) for split in ("train", "valid"))
    assert train.images[:, 0, 0].tolist() == [20 * number for number in range(8)]
    assert np.unique(valid.images[3]).tolist() == [220]


def test_prepare_uses_the_configured_cache_and_asks_for_one_where_there_is_none(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHES", str(tmp_path / "caches"))
    assert run("prepare", experiment, "--set", "data.cache=$CACHES/x").exit_code == 0
    assert (tmp_path / "caches" / "x" / "32px" / "train" / "images.npy").is_file()
    assert isinstance(run("prepare", experiment).exception, ConfigError)


def test_partition_writes_the_manifest_and_the_picture(experiment: Path, tmp_path: Path) -> None:
    result = run("partition", experiment, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.exception
    partition = Partition.read(tmp_path / "out" / "partition.json")
    assert partition.names == ("east", "west")
    assert partition.digest.hex() in result.output
    with Image.open(tmp_path / "out" / "partition.png") as picture:
        assert picture.width > 1000


def test_phantom_draws_a_data_set_that_check_accepts(tmp_path: Path) -> None:
    pytest.importorskip("fedcxr.data.phantom")
    root = tmp_path / "phantom"
    sheet = tmp_path / "sheet.png"
    small = ("--hospitals", 2, "--patients", 10, "--size", 32, "--seed", 5)
    result = run("phantom", root, *small, "--sheet", sheet)
    assert result.exit_code == 0, result.exception
    assert "SYNTHETIC" in result.output
    with Image.open(sheet) as picture:
        assert picture.width == 6 * 128
        assert picture.height % (128 + 15) == 0
    file = tmp_path / "phantom.toml"
    file.write_text(f'name = "phantom"\n[data]\nroot = "{root}"\n')
    assert run("check", file, "--decode").exit_code == 0
    other = run("phantom", root, "--seed", 6)
    assert isinstance(other.exception, DataError)
    assert "another seed or configuration" in str(other.exception)
    assert "data.root" not in str(other.exception)


def test_an_error_ends_the_command_with_its_code_and_help(experiment: Path) -> None:
    (experiment.parent / "set" / "train.csv").write_text("")
    child = subprocess.run(
        [sys.executable, "-c", "from fedcxr.cli import main; main()", "data", "check", str(experiment)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.returncode == 21
    assert "train.csv: the file is empty" in child.stderr
    assert "Correct the CSV" in child.stderr
    assert "Traceback" not in child.stderr
