"""What a block holds, as the bytes that its roots are over: transactions and receipts (EIP-2718, EIP-658)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth_bloom.bloom import BloomFilter
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from rlp.codec import decode, encode
from rlp.exceptions import DecodingError
from trie.hexary import HexaryTrie

from fedcxr.audit.chain.rpc_values import octets, quantity
from fedcxr.errors import ChainError

# Fields of the typed transactions before their signature, by type: EIP-2930, EIP-1559, EIP-4844, EIP-7702.
_FEES = {
    1: ["gasPrice"],
    2: ["maxPriorityFeePerGas", "maxFeePerGas"],
    3: ["maxPriorityFeePerGas", "maxFeePerGas"],
    4: ["maxPriorityFeePerGas", "maxFeePerGas"],
}


@dataclass(frozen=True)
class Log:
    """One event as a receipt holds it."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


def root(items: Sequence[bytes]) -> bytes:
    """Root of the trie over a block's transactions or receipts."""
    tree = HexaryTrie({})
    for place, item in enumerate(items):
        tree[encode(place)] = item
    return bytes(tree.root_hash)


def encode_transaction(tree: Mapping[str, Any]) -> bytes:
    """A signed transaction's own bytes, from its fields as JSON-RPC gives them.

    Raises:
        ChainError: a field is missing or bad, or its type is not known.
    """
    try:
        return _transaction(tree)
    except (KeyError, ValueError, TypeError) as error:
        raise ChainError(f"a transaction that cannot be encoded: {error!s:.200}") from None


def _transaction(tree: Mapping[str, Any]) -> bytes:
    def number(name: str) -> bytes:
        return _number(tree[name])

    kind = quantity(tree.get("type", 0))
    to = octets(tree["to"]) if tree.get("to") else b""
    data = octets(tree["input"] if "input" in tree else tree["data"])
    signature = [number("r"), number("s")]
    if kind == 0:
        fields = [number("nonce"), number("gasPrice"), number("gas"), to, number("value"), data]
        return bytes(encode([*fields, number("v"), *signature]))
    if kind not in _FEES:
        raise ChainError(f"a transaction of type {kind}: only types 0 to 4 are known.")
    access = [
        [octets(entry["address"]), [octets(key) for key in entry["storageKeys"]]]
        for entry in tree.get("accessList") or ()
    ]
    typed: list[Any] = [number("chainId"), number("nonce"), *map(number, _FEES[kind]), number("gas")]
    typed += [to, number("value"), data, access]
    if kind == 3:
        typed += [number("maxFeePerBlobGas"), [octets(h) for h in tree["blobVersionedHashes"]]]
    if kind == 4:
        typed.append(
            [
                [
                    _number(a["chainId"]),
                    octets(a["address"]),
                    *(_number(a[f]) for f in ("nonce", "yParity", "r", "s")),
                ]
                for a in tree["authorizationList"]
            ]
        )
    parity = number("yParity") if tree.get("yParity") is not None else number("v")
    return bytes([kind]) + bytes(encode([*typed, parity, *signature]))


def encode_receipt(tree: Mapping[str, Any]) -> bytes:
    """A receipt's own bytes, from its fields as JSON-RPC gives them; the bloom filter follows from the logs.

    Raises:
        ChainError: a field is missing or bad.
    """
    try:
        logs: list[tuple[bytes, list[bytes], bytes]] = [
            (octets(log["address"]), [octets(topic) for topic in log["topics"]], octets(log["data"]))
            for log in tree["logs"]
        ]
        bloom = BloomFilter()
        for address, topics, _ in logs:
            for item in (address, *topics):
                bloom.add(item)
        status = octets(tree["root"]) if "status" not in tree else _number(tree["status"])
        fields = [status, _number(tree["cumulativeGasUsed"]), int(bloom).to_bytes(256), logs]
        kind = quantity(tree.get("type", 0))
    except (KeyError, ValueError, TypeError) as error:
        raise ChainError(f"a receipt that cannot be encoded: {error!s:.200}") from None
    return (bytes([kind]) if kind else b"") + bytes(encode(fields))


def logs_of(receipt: bytes) -> list[Log]:
    """The events of an encoded receipt.

    Raises:
        ChainError: it is none.
    """
    try:
        fields: Any = decode(receipt if receipt[:1] >= b"\xc0" else receipt[1:])
        return [
            Log(bytes(address), tuple(bytes(t) for t in topics), bytes(data))
            for address, topics, data in fields[3]
        ]
    except (DecodingError, RecursionError, ValueError, TypeError, IndexError) as error:
        raise ChainError(f"not a receipt: {error!s:.200}") from None


def transaction_hash(transaction: bytes) -> bytes:
    return keccak(transaction)


@dataclass(frozen=True)
class Sent:
    """What an encoded transaction says, with its signature verified: sender, call data, and what it made."""

    sender: str
    data: bytes
    created: str  # address of the contract; empty when it creates none


def sent(transaction: bytes) -> Sent:
    """Who sent an encoded transaction, with which data.

    Raises:
        ChainError: it is none, or its signature is bad.
    """
    try:
        decoded: Any = PragueTransactionBuilder.decode(transaction)
        sender, nonce = bytes(decoded.sender), int(decoded.nonce)
        created = "" if decoded.to else to_checksum_address(keccak(encode([sender, _number(nonce)]))[12:])
        return Sent(to_checksum_address(sender), bytes(decoded.data), created)
    except Exception as error:  # py-evm, rlp and eth-keys raise several types of their own
        raise ChainError(f"not a signed transaction: {type(error).__name__}: {error!s:.200}") from None


def _number(value: Any) -> bytes:
    number = quantity(value)
    return number.to_bytes((number.bit_length() + 7) // 8)
