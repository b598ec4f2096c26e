"""One root for all submissions of a round, in which each hospital proves that it is in, or that it is not.

A leaf for each of 256 seats, zero where there is no submission; keccak256 of two children; eight levels, so
that no node can be passed off as a leaf. The contract's ``SubmissionTree`` computes the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eth_hash.auto import keccak

from fedcxr.ledger.signing import SignedSubmission, commitment

DEPTH = 8
_EMPTY = bytes(32)
_KIND = b"fedcxr/submission"


def leaf(signed: SignedSubmission) -> bytes:
    """The leaf of one submission: what was signed, and the signature."""
    # As Solidity's abi.encode has it: where the text begins, the two hashes, the text's length, the text.
    begins, length = (3 * 32).to_bytes(32), len(_KIND).to_bytes(32)
    hashes = commitment(signed.message) + keccak(signed.signature)
    return bytes(keccak(begins + hashes + length + _KIND.ljust(32, b"\0")))


def root(leaves: Mapping[int, bytes]) -> bytes:
    """Root over leaves by seat."""
    return _levels(leaves)[DEPTH].get(0, _empty(DEPTH))


def path(leaves: Mapping[int, bytes], seat: int) -> list[bytes]:
    """Siblings of a seat's leaf, from its own level up."""
    levels = _levels(leaves)
    return [levels[k].get((seat >> k) ^ 1, _empty(k)) for k in range(DEPTH)]


def proves(root_: bytes, seat: int, leaf_: bytes, siblings: Sequence[bytes]) -> bool:
    """Whether a seat has this leaf under a root; 32 zero bytes for a hospital that was left out."""
    if len(siblings) != DEPTH or not 0 <= seat < 1 << DEPTH:
        return False
    node = leaf_
    for k, sibling in enumerate(siblings):
        node = keccak(sibling + node if seat >> k & 1 else node + sibling)
    return node == root_


def _levels(leaves: Mapping[int, bytes]) -> list[dict[int, bytes]]:
    """Nodes that are not empty, level by level."""
    levels = [dict(leaves)]
    for k in range(DEPTH):
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
