"""Read a chain's file without trusting it or touching it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from fedcxr.chain.embedded import seal
from fedcxr.chain.embedded.sqlite_db import SCHEMA, TABLE

LARGEST = 1 << 31
"""Bytes of a chain's file; a round of 17 hospitals has some 400,000."""


@dataclass
class ChainFile:
    """What a file holds.

    Attributes:
        rows: keys and values; None when they cannot be read.
        differences: (expected, found) of the file as a whole.
    """

    rows: dict[bytes, bytes] | None = None
    differences: list[tuple[str, str]] = field(default_factory=list)


def read_chain_file(path: Path) -> ChainFile:
    """Read a copy of the file (with the journal of an owner that died, which SQLite rolls back)."""
    result = ChainFile()
    with tempfile.TemporaryDirectory(prefix="fedcxr-replay-") as directory:
        copy = Path(directory) / "ledger.sqlite"
        journal = path.with_name(path.name + "-journal")
        if max(file.stat().st_size for file in (path, journal) if file.is_file()) > LARGEST:
            result.differences.append((f"a chain's file of at most {LARGEST:,} bytes", "a larger one"))
            return result
        shutil.copyfile(path, copy)
        if journal.is_file() and journal.stat().st_size:
            shutil.copyfile(journal, copy.with_name(copy.name + "-journal"))
        elif (broken := seal.difference(copy.read_bytes())) is not None:
            result.differences.append(("a file as its owner left it", broken))
        try:
            with contextlib.closing(sqlite3.connect(copy)) as connection:
                _read(connection, result)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            result.differences.append(("a chain database", str(error)))
    return result


def _read(connection: sqlite3.Connection, result: ChainFile) -> None:
    verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        result.differences.append(("a sound SQLite file", verdict))
    schema = connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    if schema != [(TABLE, SCHEMA)]:
        names = ", ".join(str(name) for name, _ in schema) or "none"
        result.differences.append((f"one table, {TABLE}, made by {SCHEMA}", f"{len(schema)}: {names[:200]}"))
    if (TABLE, SCHEMA) not in schema:  # a view of that name could be without end
        return
    rows = {}
    for key, value in connection.execute(f"SELECT key, value FROM {TABLE} ORDER BY key"):  # noqa: S608
        if isinstance(key, bytes) and isinstance(value, bytes):
            rows[key] = value
        else:
            result.differences.append(("rows of bytes", f"{key!r:.80}: {type(value).__name__}"))
    result.rows = rows
