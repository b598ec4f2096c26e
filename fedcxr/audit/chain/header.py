"""A block's header as its bytes: what a chain's hashes bind, whoever hands it out.

The hash of a header is the Keccak-256 of its RLP. It names the header before it, and the roots over the
block's transactions and receipts; so whoever knows the hash of one block knows everything before it. Besu's
QBFT leaves the validators' seals and the number of its voting round out of what it hashes; those forms count
too, for they differ in nothing that an event depends on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eth_bloom.bloom import BloomFilter
from eth_utils.crypto import keccak
from rlp.codec import decode, encode
from rlp.exceptions import DecodingError

from fedcxr.audit.chain.rpc_values import octets, quantity
from fedcxr.errors import ChainError

# Names in JSON-RPC by place in the RLP; those after the nonce came with forks and are there when given.
_FIELDS: tuple[tuple[str, int | None], ...] = (  # name, bytes; None for a number
    ("parentHash", 32),
    ("sha3Uncles", 32),
    ("miner", 20),
    ("stateRoot", 32),
    ("transactionsRoot", 32),
    ("receiptsRoot", 32),
    ("logsBloom", 256),
    ("difficulty", None),
    ("number", None),
    ("gasLimit", None),
    ("gasUsed", None),
    ("timestamp", None),
    ("extraData", 0),
    ("mixHash", 32),
    ("nonce", 8),
)
_LATER: tuple[tuple[str, int | None], ...] = (
    ("baseFeePerGas", None),
    ("withdrawalsRoot", 32),
    ("blobGasUsed", None),
    ("excessBlobGas", None),
    ("parentBeaconBlockRoot", 32),
    ("requestsHash", 32),
)
_EXTRA = 12
_QBFT_FIELDS = 5  # vanity, validators, vote, round, seals


@dataclass(frozen=True)
class Header:
    """One header.

    Attributes:
        raw: its RLP.

    Raises:
        ChainError: the bytes are no header.
    """

    raw: bytes

    def __post_init__(self) -> None:
        fields = self._fields
        widths = [*_FIELDS, *_LATER][: len(fields)]
        if len(fields) < len(_FIELDS) or len(fields) > len(widths):
            raise ChainError(f"a header of {len(fields)} fields: expected {len(_FIELDS)} to 21.")
        for (name, width), value in zip(widths, fields, strict=True):
            if not isinstance(value, bytes) or (width and len(value) != width):
                raise ChainError(f"a header whose {name} is not {width} bytes.")

    @classmethod
    def from_json(cls, block: Mapping[str, Any]) -> Header:
        """The header of a block as JSON-RPC gives it, under whose hash it was given if one fits.

        Some nodes pad empty extra data with zeros: of the two, the one that has the block's hash is meant.

        Raises:
            ChainError: a field is missing, or is not what it must be.
        """
        fields: list[bytes] = []
        for name, width in [*_FIELDS, *(f for f in _LATER if block.get(f[0]) is not None)]:
            try:
                fields.append(_number(quantity(block[name])) if width is None else octets(block[name], width))
            except (KeyError, ValueError, TypeError, OverflowError) as error:
                raise ChainError(f"a block without a good {name}: {error}") from None
        header = cls(encode(fields))
        try:
            named = octets(block.get("hash", "0x"))
        except (ValueError, TypeError) as error:
            raise ChainError(f"a block without a good hash: {error}") from None
        if not any(fields[_EXTRA]) and named not in header.hashes:
            fields[_EXTRA] = b""
            bare = cls(encode(fields))
            return bare if named in bare.hashes else header
        return header

    @cached_property
    def _fields(self) -> list[Any]:
        try:
            fields = decode(self.raw)
        except (DecodingError, RecursionError) as error:
            raise ChainError(f"not a header: {error}") from None
        return list(fields) if isinstance(fields, list | tuple) else []

    @cached_property
    def hashes(self) -> tuple[bytes, ...]:
        """The hashes that may name it: of the header as it is, and of its QBFT form where it has one."""
        plain = keccak(self.raw)
        try:
            extra = decode(self._fields[_EXTRA])
        except (DecodingError, RecursionError):
            return (plain,)
        if not isinstance(extra, list | tuple) or len(extra) != _QBFT_FIELDS:
            return (plain,)
        fields = [*self._fields]
        fields[_EXTRA] = encode([*extra[:3], b"", []])
        return (plain, keccak(encode(fields)))

    @property
    def parent(self) -> bytes:
        return bytes(self._fields[0])

    @property
    def state_root(self) -> bytes:
        return bytes(self._fields[3])

    @property
    def transactions_root(self) -> bytes:
        return bytes(self._fields[4])

    @property
    def receipts_root(self) -> bytes:
        return bytes(self._fields[5])

    @property
    def number(self) -> int:
        return int.from_bytes(self._fields[8])

    @property
    def timestamp(self) -> int:
        """Seconds of chain time."""
        return int.from_bytes(self._fields[11])

    def admits(self, address: bytes) -> bool:
        """Whether the bloom filter admits an event of this contract; where it does not, there is none."""
        return address in BloomFilter(int.from_bytes(self._fields[6]))


def _number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8)
