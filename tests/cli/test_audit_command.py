"""``fedcxr audit``: what it prints, and the exit code that a script goes by."""

import json
import shutil
from pathlib import Path

import pytest
from federation import run_federation
from typer.testing import CliRunner, Result

from fedcxr.cli import app as registered  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import AuditFailedError, AuditIncompleteError, StoreError
from fedcxr.store.run_directory import RunDirectory


@pytest.fixture(scope="module")
def finished(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    config = small_config.with_changes({"federation.rounds": 1})
    return run_federation(config, tmp_path_factory.mktemp("audited") / "run")


@pytest.fixture
def run(finished: RunDirectory, tmp_path: Path) -> RunDirectory:
    return RunDirectory(shutil.copytree(finished.root, tmp_path / "run"))


def call(run: RunDirectory, *more: object) -> Result:
    return CliRunner().invoke(app, ["audit", str(run.root), *map(str, more)])


def test_a_proven_run_ends_with_zero(run: RunDirectory) -> None:
    result = call(run)
    assert result.exit_code == 0
    assert "✓ clean: 1 round, 3 updates" in result.output
    assert "scores, times, bytes and gas are the coordinator's own word" in result.output
    report = json.loads(call(run, "--json").stdout)
    assert (report["clean"], report["complete"], report["proven"]) == (True, True, True)
    assert report["released"] == run.read_metrics()[-1]["model"]


def test_a_finding_has_a_code_of_its_own(run: RunDirectory) -> None:
    run.model(1).write_bytes(run.model(0).read_bytes())
    result = call(run)
    assert isinstance(result.exception, AuditFailedError)
    assert result.exception.exit_code == 90
    assert "✗ round 1, round-0001.safetensors" in result.output


def test_an_audit_that_proves_nothing_does_not_end_with_zero(run: RunDirectory) -> None:
    shutil.rmtree(run.keys)
    result = call(run)
    assert isinstance(result.exception, AuditIncompleteError)
    assert result.exception.exit_code == 91
    report = json.loads(call(run, "--json").stdout)
    assert (report["clean"], report["proven"], report["released"]) == (True, False, "")


def test_one_damaged_key_does_not_keep_the_other_from_opening(run: RunDirectory) -> None:
    (run.keys / "auditor.json").write_text("{")
    result = call(run)
    assert result.exit_code == 0
    assert "unchecked: what" in result.output
    assert isinstance(call(run, "--key", run.keys / "auditor.json").exception, StoreError)


def test_hospitals_journals_are_held_against_the_ledger(run: RunDirectory) -> None:
    journals = sorted(run.hospitals.glob("*/0x*/journal.jsonl"))
    assert len(journals) == 3
    options = [option for journal in journals for option in ("--journal", journal)]
    assert call(run, *options).exit_code == 0
    journals[0].write_text("{}\n")
    assert isinstance(call(run, *options).exception, AuditFailedError)
