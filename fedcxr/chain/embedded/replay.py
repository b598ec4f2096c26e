"""Verify a chain's file by executing it again from its first block.

Every block is imported into a fresh chain in memory, which checks each transaction's signature, runs the
contract's code, and compares the state, receipts and transactions with what the block's header says. Then
the rows that this gives are compared with the rows in the file. What an audit reads afterwards it reads from
the fresh chain. The file itself is copied first and never written; its owner should have closed it.

The rule:

* A row that is changed, taken away or added is a finding that names it, for execution gives every row. The
  blocks are found by their headers, not by the look-up rows, so that those are compared too.
* A changed byte of a file that its owner closed is a finding, wherever it is: the file is sealed. An owner
  that was killed leaves no seal; then a byte outside all rows and SQLite's structure, where nobody reads it,
  goes unseen.
* A chain with one owner cannot tell that its last blocks, or all of them, were made anew with other
  timestamps: whoever needs that keeps the hash of a block elsewhere. The signatures of coordinator and
  hospitals hold for their transactions either way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth.db.schema import SchemaV1
from eth_typing import BlockNumber
from eth_utils.crypto import keccak
from rlp.codec import decode
from rlp.exceptions import DecodingError
from web3 import Web3

from fedcxr import json_text
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.embedded.chain_file import read_chain_file
from fedcxr.chain.embedded.evm import GENESIS_KEY, chain_class, from_genesis
from fedcxr.chain.embedded.sqlite_db import SqliteDB
from fedcxr.errors import ChainError

_SHOWN = 20  # findings about rows of a kind; a file of another chain would give thousands
_HEADER_FIELDS = 21  # of a Prague header; a trie's nodes have 2 or 17
_HEAD = SchemaV1.make_canonical_head_hash_lookup_key()


@dataclass(frozen=True)
class ReplayFinding:
    """A row or block that is not what execution gives."""

    where: str
    expected: str
    found: str


@dataclass
class Replayed:
    """The result of executing a chain again.

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
    file = read_chain_file(path)
    result = Replayed([ReplayFinding(path.name, *difference) for difference in file.differences])
    fresh = SqliteDB(None)
    try:
        if file.rows is not None:
            identifier = _Execution(file.rows, fresh, result).run()
            if identifier is not None:
                result.w3 = EmbeddedChain.over(fresh, chain_id=identifier).w3
        yield result
    finally:
        fresh.close()


class _Execution:
    """Executes the rows of one file into a fresh database."""

    def __init__(self, rows: dict[bytes, bytes], fresh: SqliteDB, result: Replayed) -> None:
        self.result = result
        self.fresh = fresh
        self.rows = rows
        forged = {key for key, value in rows.items() if len(key) == 32 and keccak(value) != key}
        self._report((_row(key), _hash(key), _hash(keccak(rows[key]))) for key in sorted(forged))
        # What is not named by its hash would only mislead execution.
        self.believed = {key: value for key, value in rows.items() if key not in forged}
        self.forged = forged

    def run(self) -> int | None:
        """Execute the chain and compare its rows; its id, or None when there is nothing to execute."""
        try:
            record = json_text.parse(self.rows[GENESIS_KEY])
            identifier, timestamp = record["chain_id"], record["timestamp"]
            if type(identifier) is not int or type(timestamp) is not int:
                raise TypeError("not integers")  # noqa: TRY301
            target: Any = from_genesis(self.fresh, identifier, timestamp)
        except Exception as error:  # json, and whatever py-evm makes of absurd numbers
            found = f"{type(error).__name__}: {error}"
            self._report([(_row(GENESIS_KEY), "the record of a chain's beginning", found)])
            return None
        first = target.get_canonical_head()  # so that it does not look for the file's head
        source = chain_class(identifier)(AtomicDB(_Source(self.believed)), first)
        ended = self._import(target, source)
        self._compare(dict(self.fresh.rows()), ended)
        return identifier

    def _import(self, target: Any, source: Any) -> bool:
        """Import the blocks in their order; whether the last one of the file was reached."""
        children = self._children()
        tip = target.get_canonical_block_by_number(0).hash
        first = self._named(0)
        if tip not in self.believed and first is not None:
            self._report([("block 0", _hash(tip), _hash(first))])
            return False
        while True:
            number = self.result.blocks + 1
            where = f"block {number}"
            named = self._named(number)
            # Should there be more than one, the one that a row names goes first; it decides nothing.
            candidates = sorted(children.get(tip, []), key=lambda block: block != named)
            failures = []
            for candidate in candidates:
                try:
                    target.import_block(source.get_block_by_hash(candidate))
                    break
                except Exception as error:  # damaged rows fail anywhere in rlp, trie or py-evm
                    failures.append((where, "one that executes", f"{type(error).__name__}: {error}"))
            else:
                missing: list[bytes] = []
                if candidates:
                    missing = source.chaindb.db.wrapped_db.missed[-1:]
                elif named is not None and named in self.believed:
                    failures.append((where, f"one that follows {_hash(tip)}", _hash(named)))
                elif named is not None:
                    missing = [named]
                self._report(failures)
                what = f"what {where} needs"
                self._report((_row(key), what, "no such row") for key in missing if key not in self.forged)
                return not failures and not missing
            tip = candidate
            self.result.blocks = number

    def _named(self, number: int) -> bytes | None:
        """The hash in the look-up row of a block number."""
        with contextlib.suppress(DecodingError, RecursionError):
            value = decode(self.rows.get(_number_row(number), b"\x80"))
            if isinstance(value, bytes) and len(value) == 32:
                return value
        return None

    def _children(self) -> dict[bytes, list[bytes]]:
        """The hashes of headers, by the hash of their parent."""
        children: dict[bytes, list[bytes]] = {}
        for key, value in self.believed.items():
            if len(key) == 32 and value[:1] >= b"\xf9":
                with contextlib.suppress(DecodingError, RecursionError):
                    fields = decode(value)
                    if len(fields) == _HEADER_FIELDS and isinstance(fields[0], bytes):
                        children.setdefault(fields[0], []).append(key)
        return children

    def _compare(self, expected: dict[bytes, bytes], ended: bool) -> None:
        """Each row must be what execution wrote, and nothing may be missing or be there besides."""
        rows = {key: value for key, value in self.rows.items() if key not in self.forged}
        changed = [k for k, v in rows.items() if k in expected and v != expected[k]]
        added = [k for k in rows if k not in expected]
        missing = [k for k in expected if k not in self.rows]
        if not ended:
            # Execution ended early, so that its head is not the file's, and rows of later blocks are left.
            changed = [k for k in changed if k != _HEAD]
        self._report((_row(k), _short(expected[k]), _short(rows[k])) for k in changed)
        self._report((_row(k), _short(expected[k]), "no such row") for k in missing)
        if ended:
            self._report((_row(k), "no such row", _short(rows[k])) for k in added)
        elif added:
            where = f"after block {self.result.blocks}"
            self._report([(where, "rows that execution gives", f"{len(added)} rows that cannot be checked")])

    def _report(self, findings: Iterable[tuple[str, str, str]]) -> None:
        found = [ReplayFinding(*finding) for finding in findings]
        self.result.findings += found[:_SHOWN]
        if len(found) > _SHOWN:
            more = f"{len(found) - _SHOWN} more"
            self.result.findings.append(ReplayFinding("ledger.sqlite", "the rows of execution", more))


class _Source(MemoryDB):
    """The rows of a file; keys that were asked for and are not there are recorded."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        super().__init__(rows)
        self.missed: list[bytes] = []

    def __getitem__(self, key: bytes) -> bytes:
        try:
            return super().__getitem__(key)
        except KeyError:
            self.missed.append(key)
            raise


def _number_row(number: int) -> bytes:
    return SchemaV1.make_block_number_to_hash_lookup_key(BlockNumber(number))


def _row(key: bytes) -> str:
    name = key.decode() if key.isascii() and key.decode().isprintable() else "0x" + key.hex()
    return f"ledger.sqlite row {name}"


def _hash(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def _short(value: bytes) -> str:
    return f"{len(value)} bytes, keccak 0x{keccak(value).hex()[:16]}…"
