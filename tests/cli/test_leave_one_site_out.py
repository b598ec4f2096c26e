"""``fedcxr leave-one-site-out``: no patient of the site is trained on, all of them are tested on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fedcxr.cli import app
from fedcxr.config import Config, load
from fedcxr.data.chexpert import read_table
from fedcxr.data.partition import Partition, make_partition
from fedcxr.errors import ConfigError, PartitionError
from fedcxr.evaluation.competition.sheets import read_scores
from fedcxr.evaluation.scores import Evaluation
from fedcxr.round_lines import read_rounds
from fedcxr.store.run_directory import RunDirectory


@pytest.fixture
def experiment(tmp_path: Path, small_config: Config) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(small_config.with_changes({"federation.rounds": 1}).to_toml())
    return path


def call(experiment: Path, out: Path, *more: str) -> Result:
    return CliRunner().invoke(
        app.app, ["leave-one-site-out", str(experiment), "--out", str(out), *more], catch_exceptions=True
    )


def test_the_site_is_unseen_and_what_is_finished_is_kept(
    tmp_path: Path, experiment: Path, small_config: Config
) -> None:
    root = small_config.data.root_path
    train, valid = read_table(root / "train.csv", root), read_table(root / "valid.csv", root)
    partition = make_partition(train, valid, small_config.partition, 3, root)
    site = partition.names[1]
    result = call(experiment, tmp_path / "out", "--site", site)
    assert result.exit_code == 0, result.exception
    assert not (tmp_path / "out" / f"01-{site}" / "run" / "report").exists()
    result = call(experiment, tmp_path / "out", "--site", site, "--report")  # of a finished run, too
    assert result.exit_code == 0, result.exception
    folder = tmp_path / "out" / f"01-{site}"
    unseen = read_table(folder / "unseen.csv", root)
    assert set(unseen.patient_names.tolist()) == set(partition.shard(site).patients)
    both = [table.labels[partition.rows(table, site)] for table in (train, valid)]
    np.testing.assert_array_equal(unseen.labels, np.concatenate(both))
    run = RunDirectory(folder / "run")
    federation = Partition.read(run.partition_path)
    assert set(federation.names) == set(partition.names) - {site}
    assert federation.unseen == (partition.shard(site),)
    found = json.loads((folder / "unseen.json").read_text())
    assert found["unseen"]["studies"] == len(np.unique(unseen.study_codes))
    assert Evaluation.from_dict(found["seen"]) == read_rounds(run)[-1].evaluation
    others = np.setdiff1d(valid.studies, unseen.studies)
    assert found["seen"]["studies"] == len(others) < len(np.unique(valid.studies))
    assert read_scores(run.root / "report" / "predictions.csv").studies == tuple(others.tolist())
    assert run.config == load(experiment).with_changes({"partition.leave_out": [site]})
    assert run.cache.resolve() == tmp_path / "out" / "cache"
    assert f"Without the patients of {site}" in (run.root / "report" / "report.md").read_text()
    assert site in (tmp_path / "out" / "sites.md").read_text()

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    table = (tmp_path / "out" / "sites.md").read_text()
    (folder / "unseen.json").unlink()  # cut off before the scoring: the training is not repeated
    assert call(experiment, tmp_path / "out", "--site", site).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == before
    assert (tmp_path / "out" / "sites.md").read_text() == table

    second = partition.names[2]
    assert call(experiment, tmp_path / "out", "--site", second).exit_code == 0
    both = (tmp_path / "out" / "sites.md").read_text()
    assert f"| {site} |" in both and f"| {second} |" in both  # what is finished stays in the table

    shutil.rmtree(folder / "run")  # its result alone says nothing of what it is of, and is not lost
    bare = call(experiment, tmp_path / "out", "--site", second)
    assert isinstance(bare.exception, ConfigError)
    assert f"train anew with --site {site}" in str(bare.exception)
    (folder / "unseen.json").unlink()

    other = call(experiment, tmp_path / "out", "--site", second, "--set", "training.batch_size=4")
    assert isinstance(other.exception, ConfigError)
    assert "training.batch_size is 8 there and 4 here" in str(other.exception)


def test_without_a_choice_each_site_is_left_out_in_turn(
    tmp_path: Path, experiment: Path, small_config: Config
) -> None:
    rows = (small_config.data.root_path / "hospitals.csv").read_text().splitlines()
    sites = sorted({row.split(",")[2] for row in rows[1:]})
    out = tmp_path / "out"
    result = call(experiment, out)
    assert result.exit_code == 0, result.exception
    folders = [out / f"{number:02d}-{site}" for number, site in enumerate(sites)]
    assert sorted(path for path in out.iterdir() if path.is_dir()) == [*folders, out / "cache"]
    models = []
    for folder, site in zip(folders, sites, strict=True):
        federation = Partition.read(RunDirectory(folder / "run").partition_path)
        assert federation.names == tuple(other for other in sites if other != site)
        (line,) = read_rounds(RunDirectory(folder / "run"))
        found = json.loads((folder / "unseen.json").read_text())
        assert found["model"] == line.model
        models.append(line.model)
    assert len(set(models)) == len(sites)
    table = (out / "sites.md").read_text()
    header, _, *shown = (line for line in table.splitlines() if line.startswith("| "))
    assert header.startswith("| site left out |")
    for line, site, model in zip(shown, sites, models, strict=True):
        assert line.startswith(f"| {site} |")
        assert line.endswith(f" {model[:12]} |")

    kept = [*out.rglob("*.safetensors"), *out.rglob("unseen.json")]
    before = [path.stat().st_mtime_ns for path in kept]
    assert call(experiment, out).exit_code == 0  # all of it is finished
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert (out / "sites.md").read_text() == table


def test_a_run_of_other_tables_is_not_taken_for_todays(tmp_path: Path, small_config: Config) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for source in small_config.data.root_path.iterdir():
        if source.suffix == ".csv":
            (root / source.name).write_bytes(source.read_bytes())
        else:
            (root / source.name).symlink_to(source)
    rows = (root / "train.csv").read_text().splitlines()  # a column that valid.csv has not
    (root / "train.csv").write_text("\n".join([f"{rows[0]},Fold", *(f"{row},1" for row in rows[1:])]) + "\n")
    experiment = tmp_path / "small.toml"
    changes = {"federation.rounds": 1, "data.root": str(root)}
    experiment.write_text(small_config.with_changes(changes).to_toml())
    site = sorted(line.split(",")[2] for line in (root / "hospitals.csv").read_text().splitlines()[1:])[0]
    assert call(experiment, tmp_path / "out", "--site", site).exit_code == 0
    assert "Fold" not in (tmp_path / "out" / f"00-{site}" / "unseen.csv").read_text()
    (root / "train.csv").write_text("\n".join(rows[:-1]) + "\n")
    other = call(experiment, tmp_path / "out", "--site", site)
    assert isinstance(other.exception, PartitionError)
    assert "made of other tables than those of today" in str(other.exception)
    another = max(line.split(",")[2] for line in (root / "hospitals.csv").read_text().splitlines()[1:])
    stale = call(experiment, tmp_path / "out", "--site", another)  # nor does it get into a table with today's
    assert isinstance(stale.exception, PartitionError)


def test_hospitals_that_are_no_sites_are_refused(tmp_path: Path, experiment: Path) -> None:
    dealt = call(experiment, tmp_path / "out", "--set", "partition.scheme=iid")
    assert isinstance(dealt.exception, ConfigError)
    assert "'iid'" in str(dealt.exception)
    own = call(experiment, tmp_path / "out", "--set", "model.norm=local")
    assert isinstance(own.exception, ConfigError)
    assert "no normalisation of its own" in str(own.exception)
    twice = call(experiment, tmp_path / "out", "--set", 'partition.leave_out=["a"]')
    assert isinstance(twice.exception, ConfigError)
    assert "--site says which" in str(twice.exception)
    unknown = call(experiment, tmp_path / "out", "--site", "nowhere")
    assert isinstance(unknown.exception, PartitionError)
    assert "no hospital 'nowhere'" in str(unknown.exception)
