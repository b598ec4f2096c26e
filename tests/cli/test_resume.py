"""``fedcxr simulate --resume``: what it says of a run, and what it will not go on from."""

import json
import re
import shutil
from pathlib import Path

import pytest
from federation import run_federation
from typer.testing import CliRunner, Result

from fedcxr.cli import app as registered  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import ChainError, ConfigError, FederationError, ModelError, StoreError, UnwritableError
from fedcxr.round_lines import read_rounds
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update.layout import Layout, TensorSpec


class Killed(BaseException):
    """Stands for the process's end: nothing catches it."""


@pytest.fixture(scope="module")
def begun(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Killed when the second of two rounds was open."""

    def die(event: object) -> None:
        if type(event).__name__ == "RoundOpened" and event.round == 2:  # type: ignore[attr-defined]
            raise Killed

    out = tmp_path_factory.mktemp("begun") / "run"
    with pytest.raises(Killed):
        run_federation(small_config, out, observer=die)
    return RunDirectory(out)


@pytest.fixture
def run(begun: RunDirectory, tmp_path: Path) -> RunDirectory:
    return RunDirectory(shutil.copytree(begun.root, tmp_path / "run"))


def resume(run: RunDirectory, *more: str) -> Result:
    return CliRunner().invoke(app, ["simulate", "--resume", str(run.root), *more])


def test_an_audit_of_a_run_that_was_cut_short_says_how_far_it_came(run: RunDirectory, tmp_path: Path) -> None:
    file = tmp_path / "audit.zip"
    result = CliRunner().invoke(app, ["audit", str(run.root), "--export", str(file)])
    assert result.exit_code == 0, result.output
    assert "✓ clean so far: 1 of 2 rounds, 3 updates" in result.output
    signer = Identity.load(run.keys / "auditor.json").account.address
    result = CliRunner().invoke(app, ["audit", "verify", str(file), "--signer", signer])
    assert result.exit_code == 0, result.output
    assert "stated: so far 1 of 2 rounds are finalized" in result.output


def test_it_says_where_it_continues_and_ends_the_run_which_is_then_left_alone(run: RunDirectory) -> None:
    result = resume(run)
    assert result.exit_code == 0, result.output
    found = "1 of 2 rounds are finalized, with their digests on the ledger, round 2 is open; "
    assert found + "continuing after round 1" in result.output
    assert [line.round for line in read_rounds(run)] == [1, 2]
    written = {path: path.stat().st_mtime_ns for path in run.models.iterdir()}
    again = resume(run)
    assert again.exit_code == 0
    assert "all 2 rounds are finalized, with their digests on the ledger" in again.output
    assert {path: path.stat().st_mtime_ns for path in run.models.iterdir()} == written


def test_a_line_of_the_round_that_is_repeated_is_replaced_whatever_it_says(run: RunDirectory) -> None:
    (first,) = run.metrics.path.read_text().splitlines()
    run.metrics.path.write_text(f'{first}\n{{"round": 2, "seconds": "x", "gas": null}}\n')
    result = resume(run)
    assert result.exit_code == 0, result.output
    assert run.metrics.path.read_text().splitlines()[0] == first
    assert [line.round for line in read_rounds(run)] == [1, 2]
    run.metrics.path.write_text(
        run.metrics.path.read_text().replace('"seconds":', '"seconds": "x", "was":', 1)
    )
    again = resume(run)  # a run that is complete is left alone; `report` and `audit` name the field
    assert again.exit_code == 0
    assert "all 2 rounds are finalized" in again.output


def test_a_place_without_a_run_is_named(tmp_path: Path) -> None:
    error = resume(RunDirectory(tmp_path / "none")).exception
    assert isinstance(error, StoreError)
    assert "none: there is no such folder." in str(error)


def test_a_simulation_says_its_speed_and_how_long_it_will_train(small_config: Config, tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    changes = {"federation.rounds": 1, "training.precision": "auto"}
    file.write_text(small_config.with_changes(changes).to_toml())
    arguments = ["simulate", str(file), "--out", str(tmp_path / "run"), "--no-report"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    first = result.output.splitlines()[0]
    assert re.fullmatch(r"measured [\d,]+ images/s: less than a minute of training for 1 round", first)
    again = CliRunner().invoke(app, arguments)
    assert "measured" not in again.output


def test_a_file_is_no_place_for_a_run(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.touch()
    error = CliRunner().invoke(app, ["simulate", "experiments/tiny.toml", "--out", str(file)]).exception
    assert isinstance(error, UnwritableError)
    assert str(error) == f"--out: {file} is a file; name a folder."


def test_a_run_says_itself_what_it_runs(run: RunDirectory) -> None:
    for more in (["--out", "elsewhere"], ["--set", "seed=2"], ["experiments/tiny.toml"]):
        result = resume(run, *more)
        assert result.exit_code == 2
        assert "config.toml says what to run" in " ".join(result.output.replace("│", "").split())
    assert CliRunner().invoke(app, ["simulate"]).exit_code == 2
    alone = CliRunner().invoke(app, ["simulate", "experiments/tiny.toml"])
    assert alone.exit_code == 2
    assert "Missing option --out." in alone.output
    assert "continue one" not in alone.output


def test_a_run_without_a_ledger_has_no_checkpoint(small_config: Config, tmp_path: Path) -> None:
    config = small_config.with_changes({"ledger.backend": "off", "federation.rounds": 1})
    error = resume(run_federation(config, tmp_path / "run")).exception
    assert isinstance(error, ConfigError)
    assert "has no checkpoint" in str(error)


def test_a_model_that_is_not_the_ledgers_is_not_gone_on_from(run: RunDirectory) -> None:
    run.model(1).write_bytes(run.model(0).read_bytes())
    error = resume(run).exception
    assert isinstance(error, FederationError)
    assert "has digest" in str(error)
    run.model(1).unlink()
    assert isinstance(resume(run).exception, ModelError)


def test_a_chain_that_is_gone_is_named_and_none_is_begun_in_its_place(run: RunDirectory) -> None:
    run.chain_path.unlink()
    error = resume(run).exception
    assert isinstance(error, ChainError)
    assert "ledger.sqlite: missing" in str(error)
    assert not run.chain_path.exists()


def test_a_run_of_another_version_is_not_gone_on_with(run: RunDirectory) -> None:
    run.write_layout(Layout((TensorSpec("w", (2, 3), False, False),)))
    error = resume(run).exception
    assert isinstance(error, FederationError | ModelError)
    assert "made by another version of fedcxr (its model has other tensors)" in str(error)
    run.config_path.write_text(run.config_path.read_text() + "\n[unheard]\nof = 1\n")
    error = resume(run).exception
    assert isinstance(error, ConfigError)
    assert "unheard: unknown key" in str(error)


def test_a_run_that_was_killed_before_it_was_founded_starts_with_round_1(
    small_config: Config, tmp_path: Path
) -> None:
    run = RunDirectory.create(tmp_path / "run", small_config.with_changes({"federation.rounds": 1}))
    result = resume(run)
    assert "none of 1 rounds is finalized yet; starting with round 1" in result.output
    assert json.loads(run.metrics.path.read_text())["round"] == 1
