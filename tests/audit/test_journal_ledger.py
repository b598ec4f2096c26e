"""A run on an anvil is audited from its journal alone: no chain has to be running."""

import shutil
from pathlib import Path

import pytest
from federation import run_federation
from typer.testing import CliRunner

from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import AuditFailedError
from fedcxr.store.run_directory import RunDirectory


@pytest.fixture(scope="module")
def on_anvil(
    small_config: Config, tmp_path_factory: pytest.TempPathFactory, anvil_binary: Path
) -> RunDirectory:
    config = small_config.with_changes(
        {"ledger.backend": "anvil", "ledger.anvil": str(anvil_binary), "federation.rounds": 1}
    )
    return run_federation(config, tmp_path_factory.mktemp("anvil") / "run")


def test_it_is_executed_again_and_proven(on_anvil: RunDirectory) -> None:
    before = on_anvil.journal_path.read_bytes()
    result = CliRunner().invoke(app, ["audit", str(on_anvil.root)])
    assert result.exit_code == 0, result.exception
    assert "clean" in result.output
    assert on_anvil.journal_path.read_bytes() == before


def test_a_changed_journal_is_found(on_anvil: RunDirectory, tmp_path: Path) -> None:
    copy = RunDirectory(tmp_path / "run")
    shutil.copytree(on_anvil.root, copy.root, ignore=shutil.ignore_patterns("cache", "hospitals"))
    data = bytearray(copy.journal_path.read_bytes())
    data[2 * len(data) // 3] ^= 1
    copy.journal_path.write_bytes(bytes(data))
    result = CliRunner().invoke(app, ["audit", str(copy.root)])
    assert isinstance(result.exception, AuditFailedError), result.output
