"""A chain database in one SQLite file: py-evm's keys and values as rows.

Rows are written inside a transaction that :meth:`SqliteDB.commit` ends, one per block, so that after a crash
the file holds whole blocks only. The rollback journal (not WAL) leaves a single file behind, and
``synchronous = FULL`` makes a committed block survive a loss of power.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from eth.db.backends.base import BaseDB

from fedcxr.errors import ChainError

TABLE = "chain"


class SqliteDB(BaseDB):
    """Bytes to bytes, in a file or, without a path, in memory. One owner at a time."""

    def __init__(self, path: Path | None) -> None:
        """Open or make the file.

        Raises:
            ChainError: not a database, or another process has it.
        """
        self._where = str(path) if path else ":memory:"
        try:
            self._connection = sqlite3.connect(
                self._where, isolation_level=None, check_same_thread=False, timeout=1.0
            )
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = TRUNCATE")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("BEGIN EXCLUSIVE")
            self._connection.execute(
                f"CREATE TABLE IF NOT EXISTS {TABLE}"
                " (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
            )
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise ChainError(
                f"{self._where}: the chain is in use by another process, or cannot be opened: {error}"
            ) from None
        except sqlite3.DatabaseError as error:
            raise ChainError(f"{self._where}: not a chain database: {error}") from None

    def __getitem__(self, key: bytes) -> bytes:
        row = self._connection.execute(f"SELECT value FROM {TABLE} WHERE key = ?", (key,)).fetchone()  # noqa: S608
        if row is None:
            raise KeyError(key)
        return bytes(row[0])

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._begin()
        self._connection.execute(f"INSERT OR REPLACE INTO {TABLE} VALUES (?, ?)", (key, value))  # noqa: S608

    def __delitem__(self, key: bytes) -> None:
        self._begin()
        if not self._connection.execute(f"DELETE FROM {TABLE} WHERE key = ?", (key,)).rowcount:  # noqa: S608
            raise KeyError(key)

    def _exists(self, key: bytes) -> bool:
        found = self._connection.execute(f"SELECT 1 FROM {TABLE} WHERE key = ?", (key,))  # noqa: S608
        return found.fetchone() is not None

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All rows, by key."""
        for key, value in self._connection.execute(f"SELECT key, value FROM {TABLE} ORDER BY key"):  # noqa: S608
            yield bytes(key), bytes(value)

    def commit(self) -> None:
        """Make everything written so far durable."""
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Forget everything since the last commit."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self.rollback()
        self._connection.close()

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN")
