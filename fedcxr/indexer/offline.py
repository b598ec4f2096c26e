"""An embedded chain whose run is not going on, read from its file; the file is left as it is."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import struct
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fedcxr import bounded
from fedcxr.errors import ChainError
from fedcxr.indexer.source import Block, Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedcxr.indexer.chain_rows import ChainRows

T = TypeVar("T")
_HEADER = 100  # bytes of an SQLite file; SQLite counts its changes there, and the seal holds its checksum
_TABLE = "chain"
_LARGEST = 1 << 31  # bytes; as fedcxr.chain.embedded.chain_file has it
# As fedcxr.chain.embedded.sqlite_db has it, whose import would bring py-evm; a test holds them together.
SCHEMA = f"CREATE TABLE {_TABLE} (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"


class OfflineChain:
    """The file of an embedded chain; the file is opened at the first question that needs it."""

    def __init__(self, path: Path, chain_id: int) -> None:
        self._path = path
        self._chain_id = chain_id
        self._stack = contextlib.ExitStack()
        self._rows: ChainRows | None = None
        self._mark = ""  # when they were opened

    def mark(self) -> str:
        """Size, time and header of the file: whoever writes a block changes at least one of them."""
        return file_mark(self._path, header=_HEADER)

    def may_hold(self, address: str) -> bool:
        return True  # to know costs as much as to read

    def head(self) -> Block:
        return self._read(lambda rows: rows.head())

    def block(self, number: int) -> Block | None:
        return self._read(lambda rows: rows.block(number))

    def logs(self, addresses: Collection[str], first: int, last: int) -> tuple[list[Log], list[Block]]:
        wanted = {bytes.fromhex(address.removeprefix("0x")) for address in addresses}
        return self._read(lambda rows: rows.logs(wanted, first, last))

    def call(self, address: str, data: bytes, block: Block) -> bytes:
        """Executed over a copy of the chain in memory, which takes seconds to import."""
        from web3 import Web3
        from web3.types import BlockIdentifier

        from fedcxr.chain.embedded.chain import EmbeddedChain
        from fedcxr.chain.embedded.chain_file import read_chain_file
        from fedcxr.chain.embedded.sqlite_db import SqliteDB
        from fedcxr.ledger.transaction import translated

        rows = read_chain_file(self._path).rows
        if rows is None:
            raise ChainError(f"{self._path}: its rows cannot be read.")
        memory = SqliteDB(None)
        try:
            for key, value in rows.items():
                memory[key] = value
            w3 = EmbeddedChain.over(memory, chain_id=self._chain_id).w3
            at: BlockIdentifier = block.number
            to = Web3.to_checksum_address(address)
            return bytes(translated(lambda: w3.eth.call({"to": to, "data": Web3.to_hex(data)}, at)))
        finally:
            memory.close()

    def close(self) -> None:
        self._stack.close()
        self._rows = None

    def _read(self, question: Callable[[ChainRows], T]) -> T:
        try:
            return question(self._open())
        except ChainError as error:
            raise ChainError(f"{self._path}: {error}") from None
        except (sqlite3.Error, ValueError, TypeError, IndexError, KeyError, struct.error) as error:
            raise ChainError(f"{self._path}: not a chain, or written to right now: {error!r}.") from None

    def _open(self) -> ChainRows:
        mark = self.mark()
        if self._rows is None or mark != self._mark:
            from fedcxr.indexer.chain_rows import ChainRows

            self.close()
            path = self._path
            if path.with_name(path.name + "-journal").exists():
                path = self._copy()  # its owner died: SQLite undoes half a block, in the copy
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            self._stack.callback(connection.close)
            made = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (_TABLE,)).fetchone()
            if made is None or made[0] != SCHEMA:  # a view of that name could be without end
                raise ChainError("it has no table of a chain.")
            if self.mark() != mark:
                raise ChainError("the chain is written to right now.")
            self._rows, self._mark = ChainRows(connection, _TABLE), mark
        return self._rows

    def _copy(self) -> Path:
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="fedcxr-index-")))
        copy = directory / self._path.name
        bounded.copy(self._path, copy, _LARGEST)
        journal = self._path.with_name(self._path.name + "-journal")
        with contextlib.suppress(FileNotFoundError):
            bounded.copy(journal, copy.with_name(copy.name + "-journal"), _LARGEST)
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.execute(f"SELECT 1 FROM {_TABLE} LIMIT 1").fetchone()  # noqa: S608 (reading rolls back)
        return copy


def file_mark(path: Path, *, header: int = 0) -> str:
    """Size and time of a file, and its first bytes.

    Raises:
        ChainError: there is none, or it cannot be read.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # SQLite would wait for a pipe
            raise ChainError(f"{path}: no file.")
        with path.open("rb") as file:
            first = file.read(header)
    except FileNotFoundError:
        raise ChainError(f"{path}: no chain here.") from None
    except OSError as error:
        raise ChainError(f"{path}: cannot be read: {error.strerror}.") from None
    return f"{facts.st_size}:{facts.st_mtime_ns}:{first.hex()}"
