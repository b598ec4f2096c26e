"""The blob store: names are roots, and what is there is what was put."""

from pathlib import Path

import numpy as np
import pytest

from fedcxr.errors import BlobCorruptError, BlobMissingError, StoreError
from fedcxr.store.blobs import BlobStore
from fedcxr.update import merkle


@pytest.fixture(params=["directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "blobs") if request.param == "directory" else f"memory://{tmp_path.name}")


def test_blobs_come_back_under_their_root(store: BlobStore) -> None:
    data = np.random.default_rng(0).integers(0, 256, 10_000, dtype=np.uint8)
    root = store.put(data)
    assert root == merkle.root(data)
    assert root in store
    assert np.array_equal(store.get(root), data)
    assert store.put(data.tobytes(), root) == root
    assert list(store) == [f"{root.hex()[:2]}/{root.hex()}"]


def test_a_missing_blob_is_named(store: BlobStore) -> None:
    with pytest.raises(BlobMissingError, match="ab" * 32):
        store.get(b"\xab" * 32)


def test_a_changed_blob_is_not_handed_out(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path))
    root = store.put(b"x" * 9000)
    path = Path(store.path(root))
    content = bytearray(path.read_bytes())
    content[8500] ^= 1
    path.write_bytes(content)
    with pytest.raises(BlobCorruptError, match=root.hex()):
        store.get(root)
    assert bytes(store.get(root, verify=False)) == bytes(content)


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        BlobStore(str(tmp_path / "file" / "blobs"))
    with pytest.raises(StoreError, match="cannot be opened"):
        BlobStore("nosuchprotocol://x")
    store = BlobStore(str(tmp_path / "blobs"))
    root = merkle.root(b"abc")
    (tmp_path / "blobs" / root.hex()[:2]).write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        store.put(b"abc")
