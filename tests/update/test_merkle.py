"""Merkle roots against a recursive reading of RFC 6962, section 2.1."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcxr.update import merkle


def reference_root(leaves: list[bytes]) -> bytes:
    """RFC 6962's MTH, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + reference_root(leaves[:k]) + reference_root(leaves[k:])).digest()


def leaves_of(data: bytes) -> list[bytes]:
    return [data[i : i + 4096] for i in range(0, len(data), 4096)]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 3 * 4096, 7 * 4096 + 5, 33 * 4096])
def test_root_is_that_of_rfc_6962(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert merkle.root(data) == reference_root(leaves_of(data))


def test_root_of_a_file_and_of_an_array_is_that_of_their_bytes(tmp_path: Path) -> None:
    array = np.arange(5000, dtype=np.float32)
    path = tmp_path / "blob"
    path.write_bytes(array.tobytes())
    assert merkle.root_of_file(path) == merkle.root(array) == merkle.root(array.tobytes())


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 20), st.data())
def test_every_leaf_can_be_proven_and_no_other_passes_for_it(count: int, data: st.DataObject) -> None:
    content = np.random.default_rng(count).bytes(count * 4096 - 17)
    leaves, root = leaves_of(content), merkle.root(content)
    index = data.draw(st.integers(0, count - 1))
    path = merkle.proof(content, index)
    assert merkle.verify_proof(leaves[index], index, count, path, root)
    other = data.draw(st.integers(0, count - 1).filter(lambda i: i != index)) if count > 1 else None
    if other is not None:
        assert not merkle.verify_proof(leaves[other], index, count, path, root)
        assert not merkle.verify_proof(leaves[index], other, count, path, root)
        assert not merkle.verify_proof(leaves[index], index, count, path[:-1], root)
    assert not merkle.verify_proof(leaves[index], index, count, [*path, root], root)


def test_a_node_does_not_pass_for_a_leaf() -> None:
    data = np.random.default_rng(0).bytes(2 * 4096)
    left, right = (hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves_of(data))
    assert merkle.root(left + right) != merkle.root(data)


def test_proof_of_a_missing_leaf_is_an_error() -> None:
    with pytest.raises(IndexError, match="leaf 1 of 1"):
        merkle.proof(b"x", 1)


@given(st.integers(1, 12), st.integers(1, 4 * merkle.LEAF_SIZE), st.data())
def test_whole_first_leaves_are_proven_to_begin_the_bytes(
    leaves: int, rest: int, data: st.DataObject
) -> None:
    size = (leaves - 1) * merkle.LEAF_SIZE + min(rest, merkle.LEAF_SIZE)
    content = np.random.default_rng(size).bytes(size)
    count = data.draw(st.integers(1, leaves))
    prefix = content[: count * merkle.LEAF_SIZE]
    paths = merkle.prefix_paths(content, len(prefix))
    root = merkle.root(content)
    assert merkle.is_prefix(prefix, paths, size, root)
    at = data.draw(st.integers(0, len(prefix) - 1))
    changed = prefix[:at] + bytes([prefix[at] ^ 1]) + prefix[at + 1 :]
    assert not merkle.is_prefix(changed, paths, size, root)
    assert not merkle.is_prefix(b"", b"", size, root)
    assert not merkle.is_prefix(prefix, paths + b"\0" * 32, size, root)
    if paths:
        assert not merkle.is_prefix(prefix, paths[:-32], size, root)
