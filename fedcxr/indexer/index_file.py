"""The index's file: a table an event, whose columns are the event's fields; nothing in it is derived.

So that a reorganisation is undone by deleting rows, and an artifact with more fields needs no code. A field
called ``round`` without an ``attempt`` beside it gets the attempt that was open then.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedcxr.chain.embedded import seal
from fedcxr.errors import StoreError
from fedcxr.indexer.events import Event, as_json, definitions
from fedcxr.indexer.source import Block

_FORM = 1  # of the file, apart from the events' fields
_BUSY = 30.0  # seconds to wait for another command that writes the same index
_PLACE = ("block", "position", "tx")
_LARGEST = 2**63  # SQLite's integers end here; larger ones are decimal text


class DamagedError(Exception):
    """The index is not as it was left, or of another version: it must be made again."""


class IndexFile:
    """One federation's index."""

    def __init__(self, path: Path | None) -> None:
        """Open it, or make it; without a path it lives in memory.

        Raises:
            DamagedError: there is a file, and it is no sound index of this version.
            StoreError: it cannot be made.
        """
        self.path = path
        try:
            self._connection = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=_BUSY)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: the index cannot be opened: {error}.") from None
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    @property
    def facts(self) -> dict[str, str]:
        """What else is remembered."""
        with _sound():
            return dict(self._connection.execute("SELECT key, value FROM fact"))

    def remember(self, facts: Mapping[str, str]) -> None:
        """Add facts, within :meth:`writing`."""
        self._connection.executemany("INSERT OR REPLACE INTO fact VALUES (?, ?)", facts.items())

    @property
    def scanned(self) -> Block | None:
        """The last block that was read; None before the first."""
        with _sound():
            row = self._connection.execute(
                "SELECT number, hash, time FROM block ORDER BY number DESC LIMIT 1"
            ).fetchone()
        return None if row is None else Block(*row)

    @property
    def genesis(self) -> bytes | None:
        """Hash of the chain's first block; None before it was read."""
        with _sound():
            row = self._connection.execute("SELECT hash FROM block WHERE number = 0").fetchone()
        return None if row is None else bytes(row[0])

    @property
    def court(self) -> str | None:
        """Address of the federation's court; None before its founding was read."""
        founded = self.select("FederationCreated")
        return str(founded[0]["court"]) if founded else None

    def blocks(self) -> list[Block]:
        """The blocks that are remembered, in order."""
        with _sound():
            rows = self._connection.execute("SELECT number, hash, time FROM block ORDER BY number").fetchall()
        return [Block(*row) for row in rows]

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: all of it or nothing; the file is sealed at its end.

        Raises:
            DamagedError: the file is no database.
            StoreError: it cannot be written.
        """
        execute = self._connection.execute
        with _sound(self.path):
            execute("BEGIN IMMEDIATE")
        try:
            with _sound(self.path):
                yield
                execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                execute("ROLLBACK")
            raise

    def close_with(self, facts: Mapping[str, str]) -> None:
        """Remember facts, and seal the file: from here on a changed byte is seen."""
        with self.writing():
            self.remember(facts)
            if self.path is not None:
                seal.close(self._connection)

    def add(self, events: Iterable[Event], blocks: Iterable[Block]) -> None:
        """Append what was read, within :meth:`writing`."""
        if self.path is not None:
            seal.open_(self._connection)
        self._connection.executemany(
            "INSERT OR REPLACE INTO block VALUES (?, ?, ?)", [(b.number, b.hash, b.time) for b in blocks]
        )
        current = self._current()
        rows: dict[str, list[list[Any]]] = {}
        for event in events:
            if event.name == "RoundOpened":
                current = (event.values["round"], event.values["attempt"])
            values = [_cell(event.values[field["name"]]) for field in definitions()[event.name]]
            if _wants_attempt(event.name):
                values.append(current[1] if event.values["round"] == current[0] else None)
            rows.setdefault(event.name, []).append([event.block, event.position, event.transaction, *values])
        for name, batch in rows.items():
            marks = ", ".join("?" * len(batch[0]))
            self._connection.executemany(f'INSERT INTO "{name}" VALUES ({marks})', batch)  # noqa: S608

    def rewind(self, number: int) -> None:
        """Forget everything after a block, within :meth:`writing`; -1 forgets all."""
        if self.path is not None:
            seal.open_(self._connection)
        for name in definitions():
            self._connection.execute(f'DELETE FROM "{name}" WHERE block > ?', (number,))  # noqa: S608
        self._connection.execute("DELETE FROM block WHERE number > ?", (number,))
        if number < 0:
            self._connection.execute("DELETE FROM fact WHERE key <> 'version'")

    def select(self, name: str, where: str = "1", parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Events of a kind in the chain's order, with their block's time as ``time``.

        Raises:
            DamagedError: the file is no database.
        """
        if name not in definitions():
            return []  # of a contract whose ABI this package does not have
        query = (
            f'SELECT e.*, b.time FROM "{name}" e JOIN block b ON b.number = e.block WHERE {where} '  # noqa: S608
            "ORDER BY e.block, e.position"
        )
        with _sound():
            cursor = self._connection.cursor()
            cursor.row_factory = sqlite3.Row
            return cursor.execute(query, parameters).fetchall()

    def after(self, block: int) -> list[tuple[str, sqlite3.Row]]:
        """Events of all kinds after a block, in the chain's order: name and row."""
        found = [(name, row) for name in definitions() for row in self.select(name, "e.block > ?", (block,))]
        return sorted(found, key=lambda item: (item[1]["block"], item[1]["position"]))

    def count(self, name: str) -> int:
        """How many events of a kind there are."""
        with _sound():
            return int(self._connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608

    def close(self) -> None:
        self._connection.close()

    def _prepare(self) -> None:
        execute = self._connection.execute
        with _sound(self.path):
            execute("PRAGMA synchronous = NORMAL")
            execute("BEGIN")
            tables = [row[0] for row in execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            if tables and self.path is not None:
                broken = _broken(self.path)
                if broken is not None:
                    raise DamagedError(broken)
            execute("COMMIT")
        if not tables:
            self._make()
        elif "fact" not in tables or self.facts.get("version") != _version():
            raise DamagedError("it is of another version")

    def _make(self) -> None:
        with self.writing():
            execute = self._connection.execute
            if execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                return  # another command was faster
            execute("CREATE TABLE fact (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
            execute("CREATE TABLE block (number INTEGER PRIMARY KEY, hash BLOB, time INTEGER)")
            for name, fields in definitions().items():
                # Columns without a type keep what they are given.
                columns = [*_PLACE, *(field["name"] for field in fields)]
                columns += ["attempt"] if _wants_attempt(name) else []
                named = ", ".join(f'"{column}"' for column in columns)
                execute(f'CREATE TABLE "{name}" ({named}, PRIMARY KEY (block, position)) WITHOUT ROWID')
                for field in fields:
                    if field["name"] in ("round", "hospital"):
                        execute(f'CREATE INDEX "{name}.{field["name"]}" ON "{name}" ("{field["name"]}")')
            self.remember({"version": _version()})
            if self.path is not None:
                seal.open_(self._connection)

    def _current(self) -> tuple[int, int]:
        """Number and attempt of the round that was opened last."""
        row = self._connection.execute(
            'SELECT round, attempt FROM "RoundOpened" ORDER BY block DESC, position DESC LIMIT 1'
        ).fetchone()
        return (0, 0) if row is None else (int(row[0]), int(row[1]))


@contextlib.contextmanager
def _sound(path: Path | None = None) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "no such" in str(error):
            raise DamagedError(str(error)) from None
        raise StoreError(f"{path or 'the index'}: {error}.") from None
    except sqlite3.DatabaseError as error:
        raise DamagedError(str(error)) from None


def _broken(path: Path) -> str | None:
    """What the seal says. The file stays open till then: to close it would give up SQLite's lock."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as data,
    ):
        return seal.difference(data)


def _wants_attempt(name: str) -> bool:
    fields = {field["name"] for field in definitions()[name]}
    return "round" in fields and "attempt" not in fields


def _cell(value: Any) -> object:
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return str(value)
    return as_json(value) if isinstance(value, dict | list) else value


def _version() -> str:
    return hashlib.sha256(as_json([_FORM, definitions()]).encode()).hexdigest()
