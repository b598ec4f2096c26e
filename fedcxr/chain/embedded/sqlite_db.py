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

from fedcxr.chain.embedded import seal
from fedcxr.errors import ChainError

TABLE = "chain"
SCHEMA = f"CREATE TABLE {TABLE} (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"


class SqliteDB(BaseDB):
    """Bytes to bytes, in a file or, without a path, in memory. One owner at a time."""

    def __init__(self, path: Path | None) -> None:
        """Open or make the file.

        Raises:
            ChainError: not a chain database, changed since it was closed, or another process has it.
        """
        self._where = str(path) if path else ":memory:"
        self._in_file = path is not None
        self._connection = self._connect()
        try:
            self._take()
        except sqlite3.OperationalError as error:
            self._connection.close()
            raise ChainError(
                f"{self._where}: the chain is in use by another process, or cannot be opened: {error}"
            ) from None
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise ChainError(f"{self._where}: not a chain database: {error}") from None
        except ChainError:
            self._connection.close()
            raise

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

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """All rows, by key."""
        for key, value in self._connection.execute(f"SELECT key, value FROM {TABLE} ORDER BY key"):  # noqa: S608
            yield bytes(key), bytes(value)

    @property
    def in_transaction(self) -> bool:
        """Whether something was written since the last commit."""
        return self._connection.in_transaction

    def commit(self) -> None:
        """Make everything written so far durable.

        Raises:
            ChainError: the disk does not take it; nothing of it is kept.
        """
        if not self._connection.in_transaction:
            return
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.rollback()
            raise ChainError(f"{self._where}: cannot be written: {error}") from None

    def rollback(self) -> None:
        """Roll back every write since the last commit."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Seal and close the file; no other file is left beside it."""
        try:
            self.rollback()
            if self._in_file:
                self._begin()
                seal.close(self._connection)
                self.commit()
                # In exclusive mode SQLite keeps an empty journal.
                self._connection.execute("PRAGMA locking_mode = NORMAL")
                self._connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.ProgrammingError:
            return  # closed before
        except sqlite3.Error as error:
            raise ChainError(f"{self._where}: cannot be closed cleanly: {error}") from None
        finally:
            self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(self._where, isolation_level=None, check_same_thread=False, timeout=1.0)
        except sqlite3.Error as error:
            raise ChainError(f"{self._where}: cannot be opened: {error}") from None

    def _take(self) -> None:
        """Take the file's lock, and create the table of a new file."""
        execute = self._connection.execute
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA journal_mode = TRUNCATE")
        execute("PRAGMA synchronous = FULL")
        execute("BEGIN EXCLUSIVE")
        schema = [row[0] for row in execute("SELECT sql FROM sqlite_schema")]
        if not schema:
            execute(SCHEMA)
        elif schema != [SCHEMA]:
            raise ChainError(f"{self._where}: not a chain database: it holds {schema}.")
        elif self._in_file and (broken := seal.difference(self._connection.serialize())) is not None:
            raise ChainError(f"{self._where}: {broken}; restore it from a copy.")
        if self._in_file:
            seal.open_(self._connection)
        execute("COMMIT")

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN")
