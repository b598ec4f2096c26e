"""The commands that look closely at a run's model: report, robustness, explain."""

import json
from pathlib import Path

import numpy as np
import pytest
from federation import run_federation
from PIL import Image
from typer.testing import CliRunner, Result

from fedcxr.cli import app
from fedcxr.config import Config
from fedcxr.errors import ConfigError, DataError, StoreError
from fedcxr.evaluation.explanation.case_scores import COLUMNS, CaseScores
from fedcxr.models.registry import create_model
from fedcxr.round_lines import read_rounds
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import model_file
from fedcxr.update.layout import Layout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, small_config: Config) -> RunDirectory:
    """A run on phantoms whose first model is all that there is."""
    made = RunDirectory.create(tmp_path_factory.mktemp("looking") / "run", small_config)
    model = create_model(small_config.model, seed=0)
    layout = Layout.of(model)
    vector = layout.flatten(model.state_dict())
    model_file.write(made.model(0), vector, layout, federation=bytes(32), round_number=0)
    return made


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app.app, [str(argument) for argument in arguments])


def test_report_writes_the_folder(run: RunDirectory) -> None:
    result = call("report", run.root)
    assert result.exit_code == 0, result.exception
    assert {
        "report.md",
        "metrics.json",
        "predictions.csv",
        "roc.png",
        "reliability.png",
        "embedding.png",
    } <= {path.name for path in (run.root / "report").iterdir()}
    truth = run.config.data.root_path / "valid.csv"
    again = call(
        "evaluate", "--predictions", run.root / "report" / "predictions.csv", "--truth", truth, "--json",
        "--labels", "all", "--bootstrap", 0,
    )  # fmt: skip
    figures = json.loads((run.root / "report" / "metrics.json").read_text())["labels"]
    tasks = json.loads(again.stdout)["tasks"]
    for label, own in figures.items():
        assert tasks[label]["auroc"] == pytest.approx(own["auroc"]["value"], abs=1e-9), label


def test_robustness_gives_the_same_figures_again(run: RunDirectory, tmp_path: Path) -> None:
    results = [
        call("robustness", run.root, "--corruption", "blur", "--out", tmp_path / name, "--json")
        for name in ("a", "b")
    ]
    assert results[0].exit_code == 0, results[0].exception
    assert results[0].stdout == results[1].stdout
    found = json.loads(results[0].stdout)
    assert [row["severity"] for row in found["rows"]] == [1, 2, 3, 4, 5]
    assert json.loads((tmp_path / "a" / "robustness.json").read_text()) == found
    assert "| blur | 5 |" in (tmp_path / "a" / "robustness.md").read_text()
    with Image.open(tmp_path / "a" / "robustness.png") as picture:
        assert min(picture.size) > 400


def test_explain_points_at_masks_of_phantoms(run: RunDirectory, tmp_path: Path) -> None:
    arguments = ("explain", run.root, "--label", "Cardiomegaly", "--images", 3, "--out", tmp_path, "--json")
    result = call(*arguments)
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout)
    score = found["methods"]["grad-cam"]
    assert score["localisation"]["lesions"] == found["cases"] <= 3
    assert list(score["by_label"]) == ["Cardiomegaly"]
    assert 0 <= score["faithfulness"]["deletion"]["value"] <= 1
    assert json.loads((tmp_path / "explain.json").read_text()) == found
    assert score["localisation"]["hit"]["low"] is None  # of so few patients there is no interval
    page = (tmp_path / "explain.md").read_text()
    assert "Grad-CAM's map has 2 × 2 positions, enlarged: too few" in page
    assert "| hit | hit gain | coverage | coverage gain |" in page
    assert "Empty maps are left out: nothing in the image raised the label's logit." in page
    assert call(*arguments).stdout == result.stdout
    each = CaseScores.read(tmp_path / "explain.csv")
    assert list(each.cases["label"]) == ["Cardiomegaly"] * found["cases"]
    means = dict(zip(COLUMNS, each.methods["grad-cam"].mean(axis=0), strict=True))
    for name in ("hit", "coverage", "energy", "area"):
        assert means[name] == pytest.approx(score["localisation"][name]["value"], abs=1e-5), name
    with Image.open(tmp_path / "deletion.png") as picture:
        assert min(picture.size) > 400
    with Image.open(tmp_path / "overlays.png") as picture:
        colours = {pixel for _, pixel in picture.convert("RGB").getcolors(1 << 24) or ()}
    assert (0, 229, 255) in colours  # outlines
    assert any(red > blue + 60 for red, _, blue in colours)  # heat: in nothing else is more red than blue
    assert isinstance(call("explain", run.root, "--label", "Fracture").exception, DataError)  # never drawn


def test_a_misspelt_label_or_corruption_is_named_before_anything_is_read(tmp_path: Path) -> None:
    for command, option, word, meant in (
        ("explain", "--label", "Edma", "Edema"),
        ("robustness", "--corruption", "nois", "noise"),
    ):
        result = call(command, tmp_path / "none", option, word)
        assert result.exit_code == 2
        said = " ".join(result.output.replace("│", "").split())
        assert f"Invalid value for {option}: '{word}' is not one of" in said
        assert f"Did you mean {meant}?" in said


def test_what_is_missing_is_named(run: RunDirectory, tmp_path: Path) -> None:
    for command in ("report", "robustness", "explain"):
        assert isinstance(call(command, tmp_path / "none").exception, StoreError)
        assert "no such model" in str(call(command, run.root, "--round", 7).exception)
    bare = RunDirectory.create(tmp_path / "bare", run.config.with_changes({"data.valid_csv": ""}))
    bare.model(0).write_bytes(run.model(0).read_bytes())
    found = call("report", bare.root).exception
    assert isinstance(found, ConfigError)
    assert "no validation set" in str(found)


@pytest.mark.parametrize(
    "changes",
    [
        {"model.norm": "local"},
        {"model.norm": "group", "training.strategy": "probe", "training.self_supervised": "none"},
        {"training.strategy": "selective", "training.train": ["classifier"]},
    ],
)
def test_a_model_of_which_only_a_part_travels_is_looked_at_whole(
    small_config: Config, tmp_path: Path, changes: dict[str, object]
) -> None:
    config = small_config.with_changes({"federation.rounds": 1, **changes})
    run = run_federation(config, tmp_path / "run", evaluated=True)
    result = call("report", run.root)
    assert result.exit_code == 0, result.exception
    figures = json.loads((run.root / "report" / "metrics.json").read_text())["labels"]
    evaluation = read_rounds(run)[-1].evaluation
    assert evaluation is not None
    scored = {score.label: score.value for score in evaluation.labels if score.label in figures}
    assert len(scored) > 3
    assert {label: own["auroc"]["value"] for label, own in figures.items()} == pytest.approx(scored)
    assert (run.root / "report" / "embedding.png").is_file()
    found = call("robustness", run.root, "--corruption", "blur", "--json", "--out", tmp_path / "out")
    clean = json.loads(found.stdout)["clean"]["value"]
    assert clean == pytest.approx(np.mean([*scored.values()]), abs=0.02)
    explained = call("explain", run.root, "--label", "Cardiomegaly", "--images", 1, "--out", tmp_path / "out")
    if not config.model.normalisation.one_model:
        assert isinstance(explained.exception, ConfigError)
        earlier = call("report", run.root, "--round", 0).exception
        assert isinstance(earlier, ConfigError)
        assert "of the last round only" in str(earlier)
        return
    assert explained.exit_code == 0, explained.exception
    if run.frozen_path.is_file():
        data = bytearray(run.frozen_path.read_bytes())
        data[-1] ^= 1
        run.frozen_path.write_bytes(data)
        assert isinstance(call("report", run.root).exception, StoreError)
