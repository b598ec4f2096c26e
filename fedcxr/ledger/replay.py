"""Verify a chain's file by executing it again from its first block.

Every block is imported into a fresh chain in memory, which checks each transaction's signature, runs the
contract's code, and compares the state, receipts and transactions with what the block's header says. Then
the rows that this gives are compared with the rows in the file. What an audit reads afterwards it reads from
the fresh chain. The file itself is copied first and never written.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth.db.atomic import AtomicDB
from eth_utils import keccak
from web3 import Web3

from fedcxr.errors import ChainError
from fedcxr.ledger.chain import EmbeddedChain
from fedcxr.ledger.evm import GENESIS_KEY, chain_class, from_genesis
from fedcxr.ledger.sqlite_db import TABLE, SqliteDB

_SHOWN = 20  # findings about rows; a file of another chain would give thousands


@dataclass(frozen=True)
class ReplayFinding:
    """A row or block that is not what execution gives."""

    where: str
    expected: str
    found: str


@dataclass
class Replayed:
    """A chain executed again.

    Attributes:
        findings: empty when the file is what execution gives.
        w3: over the fresh chain; None when nothing could be executed.
        blocks: executed.
    """

    findings: list[ReplayFinding] = field(default_factory=list)
    w3: Web3 | None = None
    blocks: int = 0


@contextlib.contextmanager
def verify(path: Path) -> Iterator[Replayed]:
    """Execute the chain at ``path`` again, and compare.

    Raises:
        ChainError: there is no file.
    """
    if not path.is_file():
        raise ChainError(f"{path}: no chain here.")
    result = Replayed()
    rows = _read_rows(path, result)
    if rows is None:
        yield result
        return
    fresh = SqliteDB(None)
    chain = None
    try:
        identifier = _execute(rows, fresh, result)
        if identifier is not None:
            _compare(rows, dict(fresh.items()), result)
            chain = EmbeddedChain.over(fresh, chain_id=identifier)
            result.w3 = chain.w3
        yield result
    finally:
        fresh.close()


def _read_rows(path: Path, result: Replayed) -> dict[bytes, bytes] | None:
    """All rows of a copy of the file (with the journal of a process that died, which SQLite rolls back)."""
    with tempfile.TemporaryDirectory(prefix="fedcxr-replay-") as directory:
        copy = Path(directory) / "ledger.sqlite"
        shutil.copyfile(path, copy)
        journal = path.with_name(path.name + "-journal")
        if journal.is_file():
            shutil.copyfile(journal, copy.with_name(copy.name + "-journal"))
        try:
            with contextlib.closing(sqlite3.connect(copy)) as connection:
                verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
                if verdict != "ok":
                    result.findings.append(ReplayFinding(path.name, "a sound SQLite file", verdict))
                tables = [r[0] for r in connection.execute("SELECT name FROM sqlite_master")]
                if tables != [TABLE]:
                    found = ", ".join(tables) or "nothing"
                    result.findings.append(ReplayFinding(path.name, f"one table, {TABLE}", found))
                return {
                    bytes(key): bytes(value)
                    for key, value in connection.execute(f"SELECT key, value FROM {TABLE}")  # noqa: S608
                }
        except (sqlite3.DatabaseError, TypeError) as error:
            result.findings.append(ReplayFinding(path.name, "a chain database", str(error)))
            return None


def _execute(rows: dict[bytes, bytes], fresh: SqliteDB, result: Replayed) -> int | None:
    """Import every block into ``fresh``; the chain's id, or None when there is nothing to execute."""
    memory = SqliteDB(None)
    try:
        for key, value in rows.items():
            memory[key] = value
        genesis = rows[GENESIS_KEY]
        fresh[GENESIS_KEY] = genesis
        target: Any = from_genesis(fresh, genesis)
        identifier = int(target.chain_id)
        source: Any = chain_class(identifier)(AtomicDB(memory))
        head = source.chaindb.get_canonical_head().block_number
        stored = source.get_canonical_block_by_number(0).hash
        if target.get_canonical_block_by_number(0).hash != stored:
            result.findings.append(
                ReplayFinding("block 0", target.get_canonical_block_by_number(0).hash.hex(), stored.hex())
            )
    except Exception as error:  # damaged rows fail anywhere in rlp, trie, json or py-evm
        result.findings.append(
            ReplayFinding("the first block", "a chain", f"{type(error).__name__}: {error}")
        )
        memory.close()
        return None
    for number in range(1, head + 1):
        try:
            target.import_block(source.get_canonical_block_by_number(number))
        except Exception as error:  # as above; the block and all after it are not what was executed
            found = f"{type(error).__name__}: {error}"
            result.findings.append(ReplayFinding(f"block {number}", "one that executes", found))
            break
        result.blocks += 1
    memory.close()
    return identifier


def _compare(rows: dict[bytes, bytes], expected: dict[bytes, bytes], result: Replayed) -> None:
    """Each row must be what execution wrote, or at least be named by the hash of what it holds.

    The second are intermediate tries of blocks under construction; they decide nothing.
    """
    findings = []
    for key, value in rows.items():
        if key in expected:
            if value != expected[key]:
                findings.append(ReplayFinding(_row(key), _short(expected[key]), _short(value)))
        elif keccak(value) != key:
            findings.append(ReplayFinding(_row(key), "no such row", _short(value)))
    findings += [
        ReplayFinding(_row(key), _short(v), "no row") for key, v in expected.items() if key not in rows
    ]
    result.findings += findings[:_SHOWN]
    if len(findings) > _SHOWN:
        result.findings.append(
            ReplayFinding("ledger.sqlite", "the rows of execution", f"{len(findings) - _SHOWN} more rows")
        )


def _row(key: bytes) -> str:
    name = key.decode() if key.isascii() and key.decode().isprintable() else "0x" + key.hex()
    return f"ledger.sqlite row {name}"


def _short(value: bytes) -> str:
    return f"{len(value)} bytes, keccak 0x{keccak(value).hex()[:16]}…"
