"""``fedcxr predict``: from a run and a CSV of paths to the competition's CSV."""

import csv as csv_module
from pathlib import Path

import numpy as np
import pytest
from chexpert_tables import write_csv
from discs import disc_config, disc_images
from PIL import Image
from typer.testing import CliRunner, Result

from fedcxr.cli import app as registered
from fedcxr.cli.app import app
from fedcxr.data.labels import COMPETITION_LABELS, LABELS
from fedcxr.errors import ConfigError, DataError, FedcxrError, ImageError, StoreError, TableError
from fedcxr.evaluation.inference import predict
from fedcxr.models.registry import create_model
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import model_file
from fedcxr.update.layout import Layout

COUNT = 6


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run with its starting model and one released one."""
    made = RunDirectory.create(tmp_path / "run", disc_config())
    for number in (0, 1):
        model = create_model(made.config.model, seed=number)
        layout = Layout.of(model)
        vector = layout.flatten(model.state_dict())
        model_file.write(made.model(number), vector, layout, federation=bytes(32), round_number=number)
    made.metrics.put({"round": 1, "model": model_file.vector_digest(vector).hex()})
    return made


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Six images of four studies, and a CSV that has their paths alone."""
    root = tmp_path / "CheXpert-v1.0"
    images, _ = disc_images(COUNT, seed=0)
    paths = []
    for number, image in enumerate(images):
        path = f"CheXpert-v1.0/valid/patient{64541 + number // 3}/study{1 + number % 2}/view{number}.png"
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / path)
        paths.append(path)
    write_csv(root / "valid.csv", *paths, header="Path")
    return root


def call(run: RunDirectory, dataset: Path, out: Path, *more: object) -> Result:
    arguments = [run.root, "--data", dataset, "--csv", dataset / "valid.csv", "--out", out, *more]
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def fails(result: Result, kind: type[FedcxrError], said: str) -> None:
    assert isinstance(result.exception, kind), result.exception
    assert said in str(result.exception)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv_module.DictReader(file))


def test_writes_the_highest_view_of_each_study_by_the_last_model(
    run: RunDirectory, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "P.csv"
    result = call(run, dataset, out)
    assert result.exit_code == 0, result.exception
    assert "4 studies of 6 images, by round-0001.safetensors" in result.output
    model = create_model(run.config.model, seed=1)
    images, _ = disc_images(COUNT, seed=0)
    probabilities = predict(model, images, np.arange(COUNT), run.config)
    rows = read(out)
    assert list(rows[0]) == ["Study", *COMPETITION_LABELS]
    assert rows[0]["Study"] == "CheXpert-v1.0/valid/patient64541/study1"
    for row, views in zip(rows, ([0, 2], [1], [3, 5], [4]), strict=True):
        expected = probabilities[views].max(axis=0)
        found = np.array([row[label] for label in COMPETITION_LABELS], dtype=np.float32)
        assert (found == expected[[LABELS.index(label) for label in COMPETITION_LABELS]]).all()


def test_the_round_the_labels_and_the_cache_can_be_chosen(
    run: RunDirectory, dataset: Path, tmp_path: Path
) -> None:
    first, last = tmp_path / "first.csv", tmp_path / "last.csv"
    cache = tmp_path / "cache"
    assert call(run, dataset, first, "--round", 0, "--labels", "all", "--cache", cache).exit_code == 0
    assert call(run, dataset, last, "--labels", "all", "--cache", cache).exit_code == 0
    assert list(read(first)[0]) == ["Study", *LABELS]
    assert read(first) != read(last)
    assert any(cache.iterdir())


def test_labels_that_nobody_knew_are_named_where_they_are_written(
    run: RunDirectory, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedcxr.api.prediction.never_trained", lambda run: ("Edema", "Fracture"))
    assert "never trained: Edema: no training image" in call(run, dataset, tmp_path / "five.csv").output
    every = call(run, dataset, tmp_path / "all.csv", "--labels", "all")
    assert "never trained: Edema, Fracture: no training image" in every.output
    monkeypatch.setattr("fedcxr.api.prediction.never_trained", lambda run: ("Fracture",))
    assert "never trained" not in call(run, dataset, tmp_path / "other.csv").output


def test_what_is_missing_is_named_and_nothing_is_written(
    run: RunDirectory, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "P.csv"
    fails(call(RunDirectory(tmp_path / "none"), dataset, out), StoreError, "there is no such folder")
    fails(call(run, dataset, out, "--round", 7), StoreError, "no model of round 7 (the last is round-0001")
    nowhere = call(run, tmp_path / "gone", out, "--csv", dataset / "valid.csv")
    fails(nowhere, ImageError, "gone: there is no such folder.")
    fails(call(run, dataset, tmp_path / "absent" / "P.csv"), DataError, "there is no folder")
    fails(call(run, dataset, out, "--csv", tmp_path / "none.csv"), TableError, "none.csv: cannot be read")
    fails(call(run, dataset, out, "--set", "data.size=48"), ConfigError, "data.size is")
    fails(call(run, dataset, dataset), DataError, "it is a folder")
    run.model(1).write_bytes(run.model(0).read_bytes())
    fails(call(run, dataset, out), StoreError, "but round 1 released")
    run.metrics.path.unlink()
    fails(call(run, dataset, out), StoreError, "no round is finalized yet")
    run.model(0).unlink()
    fails(call(run, dataset, out, "--round", 0), StoreError, "has the run begun")
    assert not out.exists()


def test_a_broken_image_is_named(run: RunDirectory, dataset: Path, tmp_path: Path) -> None:
    (dataset / "valid/patient64541/study1/view2.png").write_bytes(b"nothing")
    fails(call(run, dataset, tmp_path / "P.csv"), ImageError, "view2.png")


def test_the_command_is_registered() -> None:
    assert "predict" in CliRunner().invoke(registered.app, ["--help"]).output
