"""The blob store: names are roots, and what is there is what was put, wherever the store is."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from kubo import Kubo

from fedcxr.errors import BlobCorruptError, BlobMissingError, FederationError, StoreError
from fedcxr.store.blobs import BlobStore
from fedcxr.update import merkle

PLACES = ["directory", "memory", "s3", "ipfs"]


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """URL of a bucket on an S3 server of this machine, which the environment names meanwhile."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        make_bucket(settings["AWS_ENDPOINT_URL"])
        yield "s3://fedcxr"
    server.stop()


def make_bucket(endpoint: str) -> None:
    import urllib.request

    request = urllib.request.Request(f"{endpoint}/fedcxr", method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


@pytest.fixture(scope="session")
def ipfs() -> Iterator[str]:
    """URL of a folder on a node of this process."""
    node = Kubo()
    yield f"ipfs://{node.host}/fedcxr"
    node.shutdown()
    node.server_close()


@pytest.fixture(params=PLACES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param in {"s3", "ipfs"}:
        return f"{request.getfixturevalue(request.param)}/{uuid4().hex}"
    return str(tmp_path / "blobs") if request.param == "directory" else f"memory://{tmp_path.name}"


@pytest.fixture
def store(url: str) -> BlobStore:
    return BlobStore(url)


def test_blobs_come_back_under_their_root(store: BlobStore, url: str) -> None:
    data = np.random.default_rng(0).integers(0, 256, 10_000, dtype=np.uint8)
    root = store.put(data)
    assert root == merkle.root(data)
    assert root in store
    assert np.array_equal(store.get(root, 1 << 20), data)
    assert store.put(data.tobytes(), root) == root
    assert list(store) == [f"{root.hex()[:2]}/{root.hex()}"]
    assert np.array_equal(BlobStore(url, make=False).get(root, 1 << 20), data)


def test_no_bytes_at_all_are_a_blob(store: BlobStore) -> None:
    assert store.get(store.put(b""), 9).size == 0


def test_writing_twice_writes_once(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = BlobStore._write

    def watched(self: BlobStore, path: str, *rest: Any) -> None:
        written.append(path)
        write(self, path, *rest)

    monkeypatch.setattr(BlobStore, "_write", watched)
    root = store.put(b"once")
    assert store.put(b"once") == root
    assert written == [store.path(root)]


def test_a_blob_that_was_cut_short_is_written_again(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path))
    root = store.put(b"x" * 9000)
    Path(store.path(root)).write_bytes(b"x" * 10)
    store.put(b"x" * 9000)
    assert store.get(root, 1 << 20).size == 9000


def test_a_blob_that_is_found_to_be_another_one_meanwhile_is_not_stored(store: BlobStore) -> None:
    def wrong() -> None:
        raise FederationError("it has another root")

    root = merkle.root(b"said")
    for _ in range(2):
        with pytest.raises(FederationError, match="another root"):
            store.put(b"sent" * 5000, root, meanwhile=wrong)
        assert root not in store
        assert store.sizes() == {}


def test_what_is_done_meanwhile_is_done_once_whether_the_blob_is_there_or_not(store: BlobStore) -> None:
    done: list[int] = []
    for number in (1, 2):
        root = store.put(b"x" * 9000, meanwhile=lambda: done.append(0))
        assert len(done) == number
        assert store.get(root, 1 << 20).size == 9000


def test_a_missing_blob_is_named(store: BlobStore) -> None:
    with pytest.raises(BlobMissingError, match="ab" * 32):
        store.get(b"\xab" * 32, 9)
    assert b"\xab" * 32 not in store


def test_a_removed_blob_is_gone_and_removing_it_again_is_no_error(store: BlobStore) -> None:
    kept, gone = store.put(b"kept"), store.put(b"gone")
    name = f"{gone.hex()[:2]}/{gone.hex()}"
    store.remove(name)
    store.remove(name)
    assert store.sizes() == {f"{kept.hex()[:2]}/{kept.hex()}": 4}


def test_a_changed_blob_is_not_handed_out(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path))
    root = store.put(b"x" * 9000)
    path = Path(store.path(root))
    content = bytearray(path.read_bytes())
    content[8500] ^= 1
    path.write_bytes(content)
    with pytest.raises(BlobCorruptError, match=root.hex()):
        store.get(root, 1 << 20)


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


def test_a_bucket_that_is_not_there_is_an_error_of_ours(s3: str) -> None:
    store = BlobStore(s3 + "-absent/blobs")
    with pytest.raises(StoreError, match="cannot be written"):
        store.put(b"abc")


def test_a_node_that_does_not_answer_is_an_error_of_ours() -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        BlobStore("ipfs://127.0.0.1:1/blobs")


RACE = """
import sys
import numpy as np
from fedcxr.store.blobs import BlobStore

data = np.random.default_rng(1).integers(0, 256, 3_000_000, dtype=np.uint8)
store = BlobStore(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(store.put(data).hex(), flush=True)
"""


def test_processes_that_write_one_blob_at_once_leave_one_whole_blob(url: str, store: BlobStore) -> None:
    if url.startswith("memory"):
        pytest.skip("a store in memory is one process's own")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    said = {writer.communicate("go\n")[0].strip() for writer in writers}
    assert [writer.returncode for writer in writers] == [0] * 4
    (root,) = said
    assert list(store) == [f"{root[:2]}/{root}"]
    assert store.get(bytes.fromhex(root), 3_000_000).size == 3_000_000


DEATH = """
import os, signal, sys
from pathlib import Path
from fedcxr.store.blobs import BlobStore

Path.replace = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
BlobStore(sys.argv[1]).put(b"x" * 9000)
"""


def test_a_writer_that_dies_leaves_a_temporary_file_and_no_blob(tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DEATH, str(tmp_path)], check=False)
    assert died.returncode == -signal.SIGKILL
    store = BlobStore(str(tmp_path))
    (left,) = store
    assert left.endswith(".tmp")
    assert merkle.root(b"x" * 9000) not in store
