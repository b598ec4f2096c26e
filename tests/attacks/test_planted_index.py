"""Who sends a run sends an index with it, in which the history is another one than on the chain.

The chain in the run is whole, and an audit of it is clean; `fedcxr ledger` shows what the index says.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import rlp
from contract_party import Party
from eth_hash.auto import keccak
from told_run import tell
from typer.testing import CliRunner

from fedcxr.chain.embedded import seal
from fedcxr.cli import app as registered  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app
from fedcxr.errors import ChainError
from fedcxr.indexer import chain_rows
from fedcxr.indexer.events import decode
from fedcxr.indexer.location import ChainLocation, ask
from fedcxr.store.run_directory import RunDirectory
from fedcxr.store.run_location import location_of_run


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Party]:
    root = tmp_path_factory.mktemp("told") / "run"
    return root, tell(root)


def tree(*words: object) -> Any:
    result = CliRunner().invoke(app, ["ledger", *map(str, words), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def plant(run: Path) -> Path:
    """An index of the run's own chain, up to date and sealed, in which who was in a round is not in it."""
    path, facts = run / "ledger.index.sqlite", RunDirectory(run).read_facts()
    location = ChainLocation(
        facts.contract, chain_id=facts.chain_id, genesis=facts.genesis, file=run / "ledger.sqlite", index=path
    )
    ask(location, lambda ledger: None)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        seal.open_(connection)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute('DELETE FROM "UpdateAccepted"')
        connection.execute('DELETE FROM "BaseRefused"')
        seal.close(connection)
        connection.execute("COMMIT")
    assert ask(location, lambda ledger: ledger.index.count("UpdateAccepted")) == 0  # nobody sees it there
    return path


@pytest.mark.parametrize("consent", [(), ("--trust-run",)], ids=["", "trusted"])
def test_an_index_that_came_with_a_run_is_not_believed(
    told: tuple[Path, Party], tmp_path: Path, consent: tuple[str, ...]
) -> None:
    honest, planted = (Path(shutil.copytree(told[0], tmp_path / name)) for name in ("honest", "planted"))
    index = plant(planted)
    left = index.read_bytes()
    for words in (("show",), ("rounds",), ("hospital", told[1].addresses[0])):
        assert tree(*words, planted, *consent) == tree(*words, honest, *consent)
    assert tree("show", planted, *consent)["totals"]["accepted"] > 0
    assert index.read_bytes() == left  # nor is it written to


def test_what_one_place_says_of_a_chain_is_not_believed_of_another(
    told: tuple[Path, Party], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain's file whose blocks have the right hashes, and whose receipts are others, was read before."""
    honest, lying = (Path(shutil.copytree(told[0], tmp_path / name)) for name in ("honest", "lying"))
    with monkeypatch.context() as patch:
        patch.setattr("fedcxr.indexer.scan.decode", quiet)
        tree("show", lying)
    assert tree("show", honest)["totals"]["accepted"] > 0


def test_what_one_run_says_at_a_place_is_not_believed_of_another_that_comes_there_later(
    told: tuple[Path, Party], tmp_path: Path
) -> None:
    """Its blocks have the numbers and the hashes of the true ones, and under these stand other headers."""
    run = Path(shutil.copytree(told[0], tmp_path / "run"))
    with closing(sqlite3.connect(run / "ledger.sqlite")) as connection, connection:

        def row(key: bytes) -> bytes:
            return bytes(connection.execute("SELECT value FROM chain WHERE key = ?", (key,)).fetchone()[0])

        digest = row(chain_rows.HEAD)
        header: Any = rlp.decode(row(digest))
        number, founding = int.from_bytes(header[8], "big"), 3
        while number > founding:
            digest = rlp.decode(row((chain_rows.NUMBER % number).encode()))
            header = rlp.decode(row(digest))
            header[5] = chain_rows.EMPTY_TRIE
            connection.execute("UPDATE chain SET value = ? WHERE key = ?", (rlp.encode(header), digest))
            number -= 1
    result = CliRunner().invoke(app, ["ledger", "show", str(run), "--json"])
    assert isinstance(result.exception, ChainError), result.output
    shutil.rmtree(run)
    shutil.copytree(told[0], run)
    assert tree("show", run)["totals"]["accepted"] > 0


@pytest.mark.parametrize("field", [0, 8], ids=["parent", "number"])
def test_a_block_follows_the_one_before(told: tuple[Path, Party], tmp_path: Path, field: int) -> None:
    """Under a hash of its own stands a header that names another parent, or has another number."""
    run = Path(shutil.copytree(told[0], tmp_path / "run"))
    with closing(sqlite3.connect(run / "ledger.sqlite")) as connection, connection:
        key = (chain_rows.NUMBER % 5).encode()
        ask_row = "SELECT value FROM chain WHERE key = ?"
        digest = rlp.decode(connection.execute(ask_row, (key,)).fetchone()[0])
        header: Any = rlp.decode(connection.execute(ask_row, (digest,)).fetchone()[0])
        header[field] = b"\x07" * len(header[field])
        changed = rlp.encode(header)
        connection.execute("UPDATE chain SET value = ? WHERE key = ?", (rlp.encode(keccak(changed)), key))
        connection.execute("INSERT INTO chain VALUES (?, ?)", (keccak(changed), changed))
    result = CliRunner().invoke(app, ["ledger", "show", str(run), "--json"])
    assert isinstance(result.exception, ChainError), result.output
    assert "block 5 does not follow the one before" in str(result.exception)


def quiet(log: Any) -> Any:
    """What is read of a log where the chain's file has no receipt of an update."""
    event = decode(log)
    return None if event is not None and event.name == "UpdateAccepted" else event


def test_a_second_question_reads_nothing_again(told: tuple[Path, Party], tmp_path: Path) -> None:
    run = Path(shutil.copytree(told[0], tmp_path / "run"))
    before = sorted(path.name for path in run.iterdir())
    tree("show", run)
    assert ask(location_of_run(RunDirectory(run)), lambda ledger: ledger.scan.blocks) == 0
    assert sorted(path.name for path in run.iterdir()) == before  # and leaves nothing in the run
