"""SHA-256 Merkle roots in the manner of RFC 6962 over 4,096-byte leaves.

Leaf and node hashes carry different prefixes (RFC 6962, section 2.1), so that a node cannot be passed off as
a leaf. One chunk of an update can be shown with its audit path, on chain too (the sha256 precompile).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Buffer = bytes | memoryview | NDArray[Any]  # contiguous

LEAF_SIZE = 4096  # bytes: a page, and a calldata size that a contract can still afford
_LEAF = hashlib.sha256(b"\x00")
_NODE = b"\x01"


def as_bytes(data: Buffer) -> memoryview:
    """The bytes of a contiguous buffer, without a copy."""
    buffer: Any = data  # an array, too, is a buffer; numpy need not be here to say so
    return memoryview(buffer).cast("B")


def root(data: Buffer) -> bytes:
    """Merkle root, 32 bytes, of contiguous bytes; the last leaf may be short.

    No bytes at all have RFC 6962's root of an empty list, SHA-256 of the empty string.
    """
    view = as_bytes(data)
    return _fold(_leaf_hashes(view[i : i + LEAF_SIZE] for i in range(0, len(view), LEAF_SIZE)))


def root_of_file(path: Path, begin: int = 0) -> bytes:
    """:func:`root` of a file from a byte on, without holding it in memory."""
    with path.open("rb") as file:
        file.seek(begin)
        return _fold(_leaf_hashes(iter(lambda: file.read(LEAF_SIZE), b"")))


def proof(data: Buffer, index: int) -> list[bytes]:
    """The audit path of leaf ``index``, from the leaf's sibling up to the root's child.

    Raises:
        IndexError: there is no such leaf.
    """
    view = as_bytes(data)
    level = _leaf_hashes(view[i : i + LEAF_SIZE] for i in range(0, len(view), LEAF_SIZE))
    if not 0 <= index < len(level):
        raise IndexError(f"leaf {index} of {len(level)}")
    path = []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level, index = _parents(level), index // 2
    return path


def verify_proof(leaf: Buffer, index: int, leaves: int, path: list[bytes], expected_root: bytes) -> bool:
    """Whether ``leaf`` is leaf ``index`` of the ``leaves`` under ``expected_root``."""
    if not 0 <= index < leaves:
        return False
    node = _leaf_hashes([as_bytes(leaf)])[0]
    remaining = iter(path)
    width = leaves
    while width > 1:
        if index ^ 1 < width:  # a last odd node has no sibling and moves up unchanged
            sibling = next(remaining, None)
            if sibling is None:
                return False
            pair = sibling + node if index & 1 else node + sibling
            node = hashlib.sha256(_NODE + pair).digest()
        index, width = index // 2, (width + 1) // 2
    return next(remaining, None) is None and node == expected_root


def prefix_paths(data: Buffer, length: int) -> bytes:
    """Audit paths of the leaves that hold the first ``length`` bytes, one after the other."""
    count = -(-length // LEAF_SIZE)
    return b"".join(node for index in range(count) for node in proof(data, index))


def root_and_paths(data: Buffer, count: int) -> tuple[bytes, list[list[bytes]]]:
    """The Merkle root with the audit paths of the first ``count`` leaves, hashing everything once."""
    view = as_bytes(data)
    level = _leaf_hashes(view[i : i + LEAF_SIZE] for i in range(0, len(view), LEAF_SIZE))
    paths: list[list[bytes]] = [[] for _ in range(count)]
    places = list(range(count))
    while len(level) > 1:
        for path, place in zip(paths, places, strict=True):
            if place ^ 1 < len(level):
                path.append(level[place ^ 1])
        level, places = _parents(level), [place // 2 for place in places]
    return _fold(level), paths


def is_prefix(prefix: Buffer, paths: bytes, size: int, expected_root: bytes) -> bool:
    """Whether ``prefix``, whole leaves, begins the ``size`` bytes under ``expected_root``.

    Args:
        prefix: the first bytes.
        paths: as :func:`prefix_paths` gave them.
        size: of all the bytes.
        expected_root: their Merkle root.
    """
    view, leaves = as_bytes(prefix), -(-size // LEAF_SIZE)
    at = 0
    for index in range(-(-len(view) // LEAF_SIZE)):
        end = at + 32 * path_length(index, leaves)
        path = [paths[k : k + 32] for k in range(at, end, 32)]
        leaf = view[index * LEAF_SIZE : (index + 1) * LEAF_SIZE]
        if not verify_proof(leaf, index, leaves, path, expected_root):
            return False
        at = end
    return at == len(paths) and len(view) > 0


def path_length(index: int, leaves: int) -> int:
    """Siblings of a leaf, 0 of one that is not there: a last odd node has none on its level."""
    if not 0 <= index < leaves:
        return 0
    length = 0
    while leaves > 1:
        length += index ^ 1 < leaves
        index, leaves = index // 2, (leaves + 1) // 2
    return length


def _leaf_hashes(leaves: Iterable[bytes | memoryview]) -> list[bytes]:
    hashes = []
    for leaf in leaves:
        state = _LEAF.copy()
        state.update(leaf)
        hashes.append(state.digest())
    return hashes


def _parents(level: list[bytes]) -> list[bytes]:
    sha256 = hashlib.sha256
    pairs = [sha256(_NODE + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
    return pairs + level[len(pairs) * 2 :]


def _fold(level: list[bytes]) -> bytes:
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        level = _parents(level)
    return level[0]
