"""``experiments/run``: from TOML files to a table, and nothing done twice."""

import csv
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from federation import run_federation
from forked_python import ForkedPython
from typer.testing import CliRunner
from typer.testing import Result as Called

from fedcxr.cli import app
from fedcxr.config import Config, Model, load
from fedcxr.data.labels import LABELS
from fedcxr.errors import ConfigError, FederationError
from fedcxr.evaluation.competition.assessment import score_tasks
from fedcxr.evaluation.competition.pairing import pair
from fedcxr.evaluation.competition.sheets import read_scores, read_truth
from fedcxr.experiments import tasks
from fedcxr.experiments.cost_table import cost_table
from fedcxr.experiments.explanation_table import explanation_table
from fedcxr.experiments.results import Result, predictions_of
from fedcxr.experiments.table import Experiment, experiment_table
from fedcxr.models.registry import build_model
from fedcxr.round_lines import read_rounds
from fedcxr.store.run_directory import RunDirectory
from server.events import RoundOpened

ROOT = Path(__file__).resolve().parents[2]
PLACES = {"out": "runs", "results": "results", "tables": "tables"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_config: Config) -> Path:
    """Two experiments on the same images, which are no phantoms to them, and a third that cannot run."""
    tmp_path = tmp_path_factory.mktemp("experiments")
    base = small_config.with_changes({"federation.rounds": 1, "ledger.backend": "off"})
    for name, changes in {
        "short": {},
        "long": {"training.local_epochs": 2},
        "broken": {"data.train_csv": "none.csv"},
    }.items():
        (tmp_path / f"{name}.toml").write_text(base.with_changes({"name": name, **changes}).to_toml())
    return tmp_path


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedPython]:
    python = ForkedPython(tmp_path_factory.mktemp("python"))
    yield python
    python.close()


@pytest.fixture
def forked(python: ForkedPython, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs start in processes that have imported everything already."""
    monkeypatch.setattr(tasks, "sys", SimpleNamespace(executable=str(python.executable)))


def call(folder: Path, *arguments: object) -> Called:
    places = [x for name, place in PLACES.items() for x in (f"--{name}", folder / place)]
    places += ["--bootstrap", 60]
    return CliRunner().invoke(app.app, ["experiments", *map(str, [*arguments, *places])])


@pytest.mark.usefixtures("forked")
def test_a_table_is_made_from_the_runs_files_and_nothing_is_run_twice(
    folder: Path, small_config: Config
) -> None:
    files = [folder / "short.toml", folder / "long.toml"]
    result = call(folder, *files, "--seed", 4, "--name", "epochs")
    assert result.exit_code == 0, result.exception
    table = (folder / "tables" / "epochs.md").read_text()
    truth = read_truth(small_config.data.root_path / "valid.csv")
    means = []
    for name in ("short", "long"):
        run = folder / "runs" / name / "seed-4"
        kept = read_scores(folder / "results" / name / "seed-4" / "predictions.csv")
        np.testing.assert_array_equal(kept.values, read_scores(run / "report" / "predictions.csv").values)
        paired = pair(kept, truth, LABELS)
        means.append(score_tasks(paired, LABELS, bootstrap=0, seed=0)[2].value)
        assert f"| {name} | 4 | {means[-1]:.3f} [" in table
    assert None not in means
    assert f"{means[1] - means[0]:+.3f} [" in table
    assert f"fedcxr simulate {files[1]} --out {folder}/runs/long/seed-SEED --set seed=SEED" in table
    own = " ".join(f"--{name} {folder / place}" for name, place in PLACES.items())
    assert f"experiments/run {files[0]} {files[1]} --name epochs --seed 4 {own} --bootstrap 60" in table

    shutil.rmtree(folder / "runs")  # what is kept is enough
    assert call(folder, *files, "--seed", 4, "--name", "epochs").exit_code == 0
    assert not (folder / "runs").exists()
    assert (folder / "tables" / "epochs.md").read_text() == table

    measured = call(folder, *files, "--seed", 4, "--name", "epochs", "--speed")
    assert measured.exit_code == 0, measured.exception
    assert not (folder / "runs").exists()
    kept_speeds = [
        json.loads((folder / f"results/{n}/seed-4/speed.json").read_text()) for n in ("short", "long")
    ]
    assert [set(kept_speed) for kept_speed in kept_speeds] == [{"epochs"}] * 2
    speeds = [kept_speed["epochs"] for kept_speed in kept_speeds]
    network = build_model(small_config.model)
    assert {speed["parameters"] for speed in speeds} == {sum(p.numel() for p in network.parameters())}
    rows = (folder / "tables" / "epochs.md").read_text().splitlines()
    for speed, name in zip(speeds, ("short", "long"), strict=True):
        (row,) = (row for row in rows if row.startswith(f"| {name} |"))
        assert row.endswith(f"| {speed['images_per_second']:,.1f} |")

    third = shutil.copytree(folder / "results" / "long", folder / "results" / "third") / "seed-4"
    turned = pd.read_csv(third / "predictions.csv")
    turned[list(LABELS)] = 1 - turned[list(LABELS)]
    turned.to_csv(third / "predictions.csv", index=False)
    made = [
        Experiment(name, {4: Result(folder / "results" / name / "seed-4")}, {}, "")
        for name in ("short", "long", "third")
    ]
    notes = experiment_table(made, name="epochs", title="", resamples=60).notes
    (note,) = (note for note in notes if note.startswith("third minus long: "))
    assert note.startswith(f"third minus long: {1 - 2 * means[1]:+.3f} [")
    many = experiment_table([*made, *(replace(made[2], name=n) for n in "ab")], name="epochs", title="")
    assert not any(" minus " in note for note in many.notes)

    other = call(folder, *files, "--seed", 4, "--set", "training.batch_size=4")
    assert isinstance(other.exception, ConfigError)
    assert "training.batch_size is 8 there and 4 here" in str(other.exception)


class Killed(BaseException):
    """Stands for the process's end: nothing catches it."""


@pytest.mark.usefixtures("forked")
def test_a_run_that_was_cut_off_goes_on_after_its_last_finished_round(
    tmp_path: Path, small_config: Config
) -> None:
    file = tmp_path / "cut.toml"
    file.write_text(small_config.with_changes({"name": "cut"}).to_toml())
    config = load(file, ["seed=4"])

    def die(event: object) -> None:
        if isinstance(event, RoundOpened) and event.round == 2:
            raise Killed

    with pytest.raises(Killed):
        run_federation(config, tmp_path / "begun", observer=die)
    run = RunDirectory(shutil.copytree(tmp_path / "begun", tmp_path / "runs" / "cut" / "seed-4"))
    (line,) = run.metrics.path.read_text().splitlines()
    made = run.model(1).stat().st_mtime_ns
    result = call(tmp_path, file, "--seed", 4, "--jobs", 2)  # which keep what a run says
    assert result.exit_code == 0, result.exception
    said = run.root.with_suffix(".log").read_text()
    assert "1 of 2 rounds are finalized" in said
    assert "continuing after round 1" in said
    assert "round 2/2" in said
    assert "round 1/2" not in said
    assert run.metrics.path.read_text().splitlines()[0] == line
    assert run.model(1).stat().st_mtime_ns == made

    whole = run_federation(config, tmp_path / "whole", evaluated=True)
    assert CliRunner().invoke(app.app, ["report", str(whole.root)]).exit_code == 0
    for number in (1, 2):
        assert run.model(number).read_bytes() == whole.model(number).read_bytes()
    kept = tmp_path / "results" / "cut" / "seed-4"
    assert (kept / "predictions.csv").read_bytes() == predictions_of(whole).read_bytes()
    facts, expected = json.loads((kept / "result.json").read_text()), read_rounds(whole)
    assert facts["model"] == expected[-1].model
    assert facts["rounds"] == 2
    assert facts["passes"] == sum(line.passes for line in expected)


def test_what_fails_is_named_in_the_table_and_the_rest_goes_on(folder: Path) -> None:
    manifest = folder / "tables.toml"
    manifest.write_text('[[table]]\nname = "both"\nfiles = ["short.toml", "broken.toml"]\nseeds = [4]\n')
    result = call(folder, "--manifest", manifest)
    assert isinstance(result.exception, FederationError)
    table = (folder / "tables" / "both.md").read_text()
    assert "| short | 4 | 0." in table
    assert "| broken | 0 | failed |" in table
    assert "broken, seed 4, failed: exit code 21" in table
    assert "none.csv" in table


@pytest.mark.usefixtures("forked")
def test_runs_go_side_by_side_are_explained_and_leave_only_their_results(
    folder: Path, small_config: Config
) -> None:
    root = small_config.data.root_path
    rows = (root / "hospitals.csv").read_text().splitlines()
    sites = {row["patient"]: row["site"] for row in csv.DictReader(rows)}
    site = min(sites.values())
    manifest = folder / "looks.toml"
    manifest.write_text(
        '[[table]]\nname = "looks"\nfiles = ["short.toml"]\nseeds = [7, 8]\nexplain = true\n'
        f"set = ['partition.leave_out=[\"{site}\"]']\n"
        '[[table]]\nname = "again"\nfiles = ["short.toml"]\nseeds = [7]\n'  # which wants no explanation
        f"set = ['partition.leave_out=[\"{site}\"]']\n"
    )
    result = call(folder, "--manifest", manifest, "--jobs", 2, "--discard")
    assert result.exit_code == 0, result.exception
    for seed in (7, 8):
        kept = folder / "results" / "short" / f"seed-{seed}"
        facts = json.loads((kept / "result.json").read_text())
        scored = {sites[patient] for patient in read_scores(kept / "predictions.csv").patients}
        assert scored == set(sites.values()) - {site}
        assert facts["rounds"] == 1
        assert facts["passes"] > 0
        assert "torch" in facts["machine"]
        assert json.loads((kept / "explain.json").read_text())["bootstrap"] == 60
        assert not (folder / "runs" / "short" / f"seed-{seed}").exists()
        assert "round 1/1" in (folder / "runs" / "short" / f"seed-{seed}.log").read_text()
    kept = folder / "results" / "short" / "seed-7"
    other = shutil.copytree(kept, folder / "results" / "other" / "seed-7")
    scores = pd.read_csv(kept / "explain.csv")
    scores.assign(hit=1).to_csv(other / "explain.csv", index=False)
    made = [Experiment(x.parent.name, {7: Result(x)}, {}, "") for x in (kept, other)]
    notes = explanation_table(made, title="", resamples=60).notes
    (note,) = (note for note in notes if note.startswith("other: grad-cam minus short: grad-cam, seed 7: "))
    assert f"seed 7: hit {(1 - scores['hit']).mean():+.3f} [" in note
    assert "coverage +0.000 [" in note
    assert "deletion" not in note
    table = (folder / "tables" / "looks.md").read_text()
    assert "--set data.root=" not in table  # as the runs', whose images are no phantoms to them
    assert "| short | 7, 8 | 0." in table
    for seed in (7, 8):
        assert f"| short: grad-cam | {seed} |" in table
    assert "patients with, or without, the finding" in table
    assert "grad-cam" not in (folder / "tables" / "again.md").read_text()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (("--seed", 1, "--set", "training.batch_size=4"), "--seed, --set: a manifest says them"),
        (("--explain", "--name", "mine"), "--name, --explain: a manifest says them"),
    ],
)
def test_what_a_manifest_would_pass_over_is_refused(
    tmp_path: Path, extra: tuple[object, ...], said: str
) -> None:
    manifest = tmp_path / "tables.toml"
    manifest.write_text('[[table]]\nname = "t"\nfiles = ["none.toml"]\n')
    result = call(tmp_path, "--manifest", manifest, *extra)
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())


def test_a_table_is_chosen_from_a_manifest_only(tmp_path: Path) -> None:
    result = call(tmp_path, tmp_path / "none.toml", "--table", "t")
    assert result.exit_code == 2
    assert "--table: it chooses from a --manifest" in " ".join(result.output.replace("│", " ").split())


def test_the_speed_of_what_was_not_run_is_not_measured(folder: Path, tmp_path: Path) -> None:
    result = call(tmp_path, folder / "short.toml", "--speed")
    assert result.exit_code == 0, result.exception
    assert "experiments: not measured, for 1 of its runs have no result yet" in result.output
    assert not (tmp_path / "tables").exists()


def test_a_faulty_manifest_is_named(folder: Path) -> None:
    manifest = folder / "faulty.toml"
    assert "cannot be read" in str(call(folder, "--manifest", manifest).exception)
    for text, said in {
        "[[table]]\nfiles = []\n": "[[table]] 1 has no name.",
        "[[table]]\nname = 'a'\nfile = []\n": "[[table]] 1 has no files.",
        "[[table]]\nname = 'a'\nfiles = []\nseed = [7]\n": "unknown key seed (allowed: name, files, title",
        "[[table]]\nname = 'a'\nfiles = 3\n": "files, seeds and set are lists",
        "[[tables]]\nname = 'a'\n": "it has tables; a manifest is a list of [[table]]",
    }.items():
        manifest.write_text(text)
        assert said in str(call(folder, "--manifest", manifest).exception)
    manifest.write_text('[[table]]\nname = "a"\nfiles = []\n')
    assert "--table b" in str(call(folder, "--manifest", manifest, "--table", "b").exception)
    assert call(folder).exit_code == 2


def test_two_configurations_of_one_name_are_refused_before_anything_is_run(folder: Path) -> None:
    copy = folder / "copy.toml"
    copy.write_text((folder / "short.toml").read_text().replace("batch_size = 8", "batch_size = 4"))
    result = call(folder, folder / "short.toml", copy, "--seed", 11)
    assert isinstance(result.exception, ConfigError)
    assert f"{folder / 'short.toml'} and {copy} are two configurations of one name, 'short'" in str(
        result.exception
    )
    assert not (folder / "runs" / "short" / "seed-11").exists()


CONFIGURATIONS = sorted(
    path
    for folder in ("", "chexpert", "forms", "semssxl")
    for path in (ROOT / "experiments" / folder).glob("*.toml")
    if path.name != "tables.toml"
)


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_every_configuration_that_is_shipped_can_be_read_and_built(path: Path) -> None:
    config = load(path)
    assert config.name == path.stem
    assert outputs(config.model.model_copy(update={"pretrained": ""})) == 14


@cache
def outputs(settings: Model) -> int:
    """Labels that a network answers; most configurations that are shipped share theirs."""
    return build_model(settings).classifier.out_features


def test_every_table_of_the_list_has_its_files() -> None:
    tables = tomllib.loads((ROOT / "experiments" / "tables.toml").read_text())["table"]
    named = {ROOT / "experiments" / file for table in tables for file in table["files"]}
    assert all(path.is_file() for path in named)
    for folder in ("forms", "semssxl"):
        files = {path.stem for path in (ROOT / "experiments" / folder).glob("*.toml")}
        assert files - {path.stem for path in named} == {"base"}


def test_a_table_of_costs_compares_the_seeds_that_both_have() -> None:
    kept = ROOT / "experiments" / "results"
    made = [
        Experiment(name, {seed: Result(kept / name / f"seed-{seed}") for seed in seeds}, {}, "")
        for name, seeds in (("form-plain", (0, 1)), ("form-short", (1, 2)), ("form-packed", ()))
    ]
    rows = cost_table(made, title="costs").rows
    assert [row[:2] for row in rows] == [("form-plain", "0, 1"), ("form-short", "1"), ("form-packed", "0")]
    assert rows[0][5] == "1.000"
    sent = [experiment.results[1].facts.bytes_up for experiment in made[:2]]
    assert rows[1][4:6] == (f"{sent[1] / 1e6:,.1f}", f"{sent[1] / sent[0]:.3f}")
    assert set(rows[2][2:]) == {"–"}


@pytest.mark.real_cxr
@pytest.mark.parametrize("table", sorted(p.stem for p in (ROOT / "experiments" / "tables").glob("*.md")))
def test_the_tables_are_those_of_the_kept_results(
    real_cxr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setenv("FEDCXR_REAL_CXR", str(real_cxr))
    monkeypatch.chdir(ROOT)
    arguments = ["--manifest", "experiments/tables.toml", "--table", table, "--tables", str(tmp_path)]
    result = CliRunner().invoke(app.app, ["experiments", *arguments])
    assert result.exit_code == 0, result.exception
    assert "begins" not in result.output
    made = (tmp_path / f"{table}.md").read_text().replace(f" --tables {tmp_path}", "")
    assert made == (ROOT / "experiments" / "tables" / f"{table}.md").read_text()


def test_the_script_is_the_command() -> None:
    done = subprocess.run(
        [ROOT / "experiments" / "run", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )
    assert "Usage: fedcxr experiments [OPTIONS] [FILES]..." in done.stdout
    assert "Run TOML files under some seeds" in done.stdout
