"""What a hospital states under its signature of the ledger that it was shown; the contract never sees it.

A :class:`Head` says which chain it was, a :class:`Contradiction` that two of them are not one, and a
:class:`Complaint` that the hospital's own update is not on it. They are in the hospital's journal, where
whoever holds the record can hold them against it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from fedcxr import json_text
from fedcxr.errors import FederationError, LedgerError
from fedcxr.ledger.seats import MOST
from fedcxr.ledger.signed_json import signed_from_tree, signed_to_tree
from fedcxr.ledger.signing import Domain, Signed, Struct, recover

_LONGEST_HEAD = 1 << 10  # bytes; ours have some 420
LONGEST_HEADS = MOST * _LONGEST_HEAD
"""Bytes of a list of signed heads, one for each seat."""


@dataclass(frozen=True)
class Head(Struct):
    """The hospital was shown a chain with this block, which no reorganisation is expected to take."""

    types: ClassVar[dict[str, str]] = {
        "federation": "bytes32",
        "hospital": "address",
        "block": "uint64",
        "blockHash": "bytes32",
    }
    federation: bytes
    hospital: str
    block: int
    block_hash: bytes


SignedHead = Signed[Head]


@dataclass(frozen=True)
class Contradiction(Struct):
    """The chain that the hospital is shown does not have a block that a hospital had seen.

    Attributes:
        witness: whose head it is that the chain lacks: the hospital's own, or another one's.
        block: number of that head.
        seen: its hash, by the witness.
        shown: hash of the block of that number as the chain has it now; zeros where it has none.
        head, head_hash: of the chain that is shown now.
    """

    types: ClassVar[dict[str, str]] = {
        "federation": "bytes32",
        "hospital": "address",
        "witness": "address",
        "block": "uint64",
        "seen": "bytes32",
        "shown": "bytes32",
        "head": "uint64",
        "headHash": "bytes32",
    }
    federation: bytes
    hospital: str
    witness: str
    block: int
    seen: bytes
    shown: bytes
    head: int
    head_hash: bytes


@dataclass(frozen=True)
class Complaint(Struct):
    """The hospital has sent an update, with its bytes, which does not count.

    Either it does not find it on the ledger, which shows no cause, or the ledger has it and excluded it: then
    the commitment that was found is its own, where one root does not stand for all, and the round finalized.

    Attributes:
        hospital: address of its present key.
        root: of the update's blob.
        commitment: struct hash of the submission that it signed.
        found: the commitment that the contract has in its place; zeros for none.
        phase: the contract's number of the phase of that attempt.
        block, block_hash: up to which it has read the ledger.
    """

    types: ClassVar[dict[str, str]] = {
        "federation": "bytes32",
        "round": "uint64",
        "attempt": "uint64",
        "hospital": "address",
        "root": "bytes32",
        "commitment": "bytes32",
        "found": "bytes32",
        "phase": "uint8",
        "block": "uint64",
        "blockHash": "bytes32",
    }
    federation: bytes
    round: int
    attempt: int
    hospital: str
    root: bytes
    commitment: bytes
    found: bytes
    phase: int
    block: int
    block_hash: bytes


@dataclass(frozen=True)
class Unmasking(Struct):
    """What the hospital released in the second trip of a masked round, and for which set of updates.

    Attributes:
        context: of the attempt.
        accepted: the set, as the contract has it: bit k is seat k.
        block, block_hash: at which the hospital read the set.
        answer: digest of what it released.
    """

    types: ClassVar[dict[str, str]] = {
        "federation": "bytes32",
        "round": "uint64",
        "attempt": "uint64",
        "hospital": "address",
        "context": "bytes32",
        "accepted": "uint256",
        "block": "uint64",
        "blockHash": "bytes32",
        "answer": "bytes32",
    }
    federation: bytes
    round: int
    attempt: int
    hospital: str
    context: bytes
    accepted: int
    block: int
    block_hash: bytes
    answer: bytes


SignedUnmasking = Signed[Unmasking]


@dataclass(frozen=True)
class Labels(Struct):
    """Which labels the hospital has images of; it states that once in a federation.

    Attributes:
        labels: bit k is label k, in CheXpert's order.
    """

    types: ClassVar[dict[str, str]] = {
        "federation": "bytes32",
        "hospital": "address",
        "labels": "uint16",
    }
    federation: bytes
    hospital: str
    labels: int


def heads_to_bytes(heads: Iterable[SignedHead]) -> bytes:
    """A list of signed heads, in the order of their hospitals' addresses."""
    ordered = sorted(heads, key=lambda signed: signed.message.hospital.lower())
    return json.dumps([signed_to_tree(signed) for signed in ordered], separators=(",", ":")).encode()


def heads_from_bytes(data: bytes, federation: bytes, domain: Domain) -> list[SignedHead]:
    """Read :func:`heads_to_bytes` back, each signed by its hospital for this federation; none of no bytes.

    Raises:
        FederationError: it is no such list, or a head in it is not as its hospital signed it.
    """
    if not data:
        return []
    try:
        tree = json_text.parse(data, LONGEST_HEADS)
    except ValueError as error:
        raise FederationError(f"not a list of heads: {error}") from None
    if not isinstance(tree, list) or len(tree) > MOST:
        raise FederationError(f"not a list of at most {MOST} heads: {tree!r:.80}")
    return [_head(json.dumps(entry), federation, domain) for entry in tree]


@lru_cache(maxsize=1 << 12)  # they go round among all hospitals, of which many may be in one process
def _head(text: str, federation: bytes, domain: Domain) -> SignedHead:
    """One signed head; raises as :func:`heads_from_bytes`."""
    signed = signed_from_tree(Head, json_text.parse(text))
    message = signed.message
    if message.federation != federation:
        raise FederationError(f"a head of {message.hospital} for another federation.")
    try:
        signer = recover(message, signed.signature, domain)
    except LedgerError as error:
        signer = str(error)
    if signer != message.hospital:
        raise FederationError(f"a head of {message.hospital}, but signed by: {signer}")
    return signed
