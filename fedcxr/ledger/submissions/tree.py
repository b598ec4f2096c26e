"""One root for all submissions of a round, in which each hospital proves that it is in, or that it is not.

A leaf for each of 256 seats, or of 4,096 where a participant's seat is beyond the first 256; zero where there
is no submission; keccak256 of two children. Neither can a node be passed off as a leaf, nor a leaf as a node:
the one is the hash of 64 bytes, the other zero or the hash of more. The contract's ``SubmissionTree`` does
the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from eth_hash.auto import keccak

from fedcxr.ledger.seats import WORD
from fedcxr.ledger.signing import SignedSubmission, commitment

DEPTH = 8
WIDE_DEPTH = 12  # where a participant's seat is beyond the first 256
_EMPTY = bytes(32)
_KIND = b"fedcxr/submission"


def depth_of(participants: Iterable[int]) -> int:
    """Levels of the tree of a round with participants at these seats."""
    return WIDE_DEPTH if max(participants, default=0) >= WORD else DEPTH


def leaf(signed: SignedSubmission) -> bytes:
    """The leaf of one submission: what was signed, and the signature."""
    # As Solidity's abi.encode has it: where the text begins, the two hashes, the text's length, the text.
    begins, length = (3 * 32).to_bytes(32), len(_KIND).to_bytes(32)
    hashes = commitment(signed.message) + keccak(signed.signature)
    return bytes(keccak(begins + hashes + length + _KIND.ljust(32, b"\0")))


def root(leaves: Mapping[int, bytes], depth: int = DEPTH) -> bytes:
    """Root over leaves by seat."""
    return _levels(leaves, depth)[depth].get(0, _empty(depth))


def path(leaves: Mapping[int, bytes], seat: int, depth: int = DEPTH) -> list[bytes]:
    """Siblings of a seat's leaf, from its own level up."""
    levels = _levels(leaves, depth)
    return [levels[k].get((seat >> k) ^ 1, _empty(k)) for k in range(depth)]


def proves(root_: bytes, seat: int, leaf_: bytes, siblings: Sequence[bytes]) -> bool:
    """Whether a seat has this leaf under a root; 32 zero bytes for a hospital that was left out."""
    if len(siblings) not in (DEPTH, WIDE_DEPTH) or not 0 <= seat < 1 << len(siblings):
        return False
    node = leaf_
    for k, sibling in enumerate(siblings):
        node = keccak(sibling + node if seat >> k & 1 else node + sibling)
    return node == root_


def _levels(leaves: Mapping[int, bytes], depth: int) -> list[dict[int, bytes]]:
    """Nodes that are not empty, level by level."""
    levels = [dict(leaves)]
    for k in range(depth):
        below = levels[-1]
        parents = sorted({index >> 1 for index in below})
        empty = _empty(k)
        levels.append({p: keccak(below.get(2 * p, empty) + below.get(2 * p + 1, empty)) for p in parents})
    return levels


def _empty(level: int) -> bytes:
    node = _EMPTY
    for _ in range(level):
        node = keccak(node + node)
    return node
