"""An embedded chain's blocks and logs, read from the rows of its file.

py-evm keeps a block as its header, and its receipts and transactions as the leaves of two tries. To read them
so executes nothing and imports nothing. Each row is held to the hash that it stands under, and each header to
the one before it: what is read of a chain's blocks follows from the hash of the last of them, so that whoever
brings another file with that block brings the same logs. Whether these are what the transactions do, only an
execution shows: the audit executes every block again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

from eth_hash.auto import keccak

from fedcxr.errors import ChainError
from fedcxr.indexer.source import Block, Log

# The keys of eth.db.schema.SchemaV1, whose import would bring half of py-evm; a test holds them together.
HEAD = b"v1:canonical_head_hash"
NUMBER = "block-number-to-hash:%d"
EMPTY_TRIE = keccak(b"\x80")
_PARENT, _TRANSACTIONS, _RECEIPTS, _NUMBER, _TIME = 0, 4, 5, 8, 11  # fields of a header
_DEEPEST = 64  # nibbles of a key


class ChainRows:
    """The rows behind an open connection."""

    def __init__(self, connection: sqlite3.Connection, table: str) -> None:
        self._connection = connection
        self._query = f"SELECT value FROM {table} WHERE key = ?"  # noqa: S608 (our own constant)

    def head(self) -> Block:
        """The last block.

        Raises:
            ChainError: the rows are no chain's.
        """
        digest = self._row(HEAD)
        return self._dated(digest, self._header(digest))

    def block(self, number: int) -> Block | None:
        """A block by its number; None beyond the head.

        Raises:
            ChainError: the rows are no chain's.
        """
        if number > self.head().number:
            return None
        digest = self._hash(number)
        return self._dated(digest, self._header(digest))

    def logs(self, addresses: Collection[bytes], first: int, last: int) -> tuple[list[Log], list[Block]]:
        """Logs of contracts in a range of blocks, in order, and the blocks that they are in.

        Raises:
            ChainError: the rows are no chain's.
        """
        logs: list[Log] = []
        blocks = []
        before = self._hash(first - 1) if first else None
        for number in range(first, last + 1):
            digest = self._hash(number)
            header = self._header(digest)
            if before not in (None, header[_PARENT]) or int.from_bytes(header[_NUMBER], "big") != number:
                raise ChainError(
                    f"the chain's rows are damaged: block {number} does not follow the one before."
                )
            before = digest
            if header[_RECEIPTS] != EMPTY_TRIE and (found := self._logs_of(number, header, addresses)):
                logs += found
                blocks.append(self._dated(digest, header))
        return logs, blocks

    def _logs_of(self, number: int, header: list[Any], addresses: Collection[bytes]) -> list[Log]:
        found: list[Log] = []
        position = 0
        transactions: dict[bytes, bytes] | None = None
        for key, receipt in sorted(self._leaves(header[_RECEIPTS]), key=lambda leaf: decode(leaf[0])):
            # A typed receipt is its type, a byte below a list's first, and the list.
            *_, entries = decode(receipt if receipt[0] >= 0xC0 else receipt[1:])
            for address, topics, data in entries:
                if address in addresses:
                    transactions = transactions or dict(self._leaves(header[_TRANSACTIONS]))
                    found.append(Log(tuple(topics), data, number, position, keccak(transactions[key])))
                position += 1
        return found

    def _leaves(self, root: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of a trie."""
        waiting: list[tuple[str, Any]] = [("", root)]
        while waiting:
            path, node = waiting.pop()
            if isinstance(node, bytes):
                if not node:
                    continue
                node = decode(self._content(node))
            if len(path) > _DEEPEST:
                raise ChainError("the chain's rows are damaged: a trie without an end.")
            if len(node) == 2:
                nibbles = node[0].hex()
                more = path + nibbles[1 if nibbles[0] in "13" else 2 :]
                if nibbles[0] in "23":
                    yield bytes.fromhex(more), node[1]
                else:
                    waiting.append((more, node[1]))
                continue
            if node[16]:
                yield bytes.fromhex(path), node[16]
            waiting += [(path + f"{nibble:x}", child) for nibble, child in enumerate(node[:16])]

    def _hash(self, number: int) -> bytes:
        return bytes(decode(self._row((NUMBER % number).encode())))

    def _header(self, digest: bytes) -> list[Any]:
        header = decode(self._content(digest))
        if not isinstance(header, list) or len(header) <= _TIME:
            raise ChainError("the chain's rows are damaged: a header that is none.")
        return header

    @staticmethod
    def _dated(digest: bytes, header: list[Any]) -> Block:
        return Block(int.from_bytes(header[_NUMBER], "big"), digest, int.from_bytes(header[_TIME], "big"))

    def _content(self, digest: bytes) -> bytes:
        """What has a hash."""
        if keccak(content := self._row(digest)) != digest:
            raise ChainError(f"the chain's rows are damaged: another one for {digest.hex()}.")
        return content

    def _row(self, key: bytes) -> bytes:
        row = self._connection.execute(self._query, (key,)).fetchone()
        if row is None or not isinstance(row[0], bytes):
            name = key.decode() if len(key) != 32 else key.hex()
            raise ChainError(f"the chain's rows are damaged: none for {name}.")
        return row[0]


def decode(data: bytes) -> Any:
    """RLP: bytes, or a list of such. https://ethereum.org/developers/docs/data-structures-and-encoding/rlp

    Raises:
        ChainError: it is none.
    """
    value, end = _item(data, 0, 0)
    if end != len(data):
        raise ChainError("the chain's rows are damaged: not RLP.")
    return value


def _item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if at >= len(data) or depth > 8:  # a receipt's topics are four deep
        raise ChainError("the chain's rows are damaged: not RLP.")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    is_list = first >= 0xC0
    short = first - (0xC0 if is_list else 0x80)
    start, length = at + 1, short
    if short > 55:
        start += short - 55
        length = int.from_bytes(data[at + 1 : start], "big")
    end = start + length
    if end > len(data):
        raise ChainError("the chain's rows are damaged: not RLP.")
    if not is_list:
        return data[start:end], end
    items, at = [], start
    while at < end:
        item, at = _item(data, at, depth + 1)
        items.append(item)
    return items, end
