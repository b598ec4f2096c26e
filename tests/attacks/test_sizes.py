"""The adversary sends sizes: what is long, deep, many or endless ends in a typed error or a finding.

Memory is measured where a reader takes bytes in; it must stay near the reader's bound, whatever was sent.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import shutil
import socket
import sqlite3
import struct
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation import Recorder, run_federation
from flwr.app import ConfigRecord
from typer.testing import CliRunner, Result

from fedcxr import bounded, json_text, toml_text
from fedcxr import config as configuration
from fedcxr.audit.export.archive import LARGEST, pack, unpack
from fedcxr.audit.export.verification import verify
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.metrics_line import read_lines
from fedcxr.chain.embedded import sqlite_db
from fedcxr.chain.endpoint import connect
from fedcxr.chain.retry import RetryPolicy
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.cli import app as registered  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import (
    AuditFailedError,
    BlobCorruptError,
    ChainError,
    ConfigError,
    FedcxrError,
    FederationError,
    LayoutError,
    ModelError,
    StoreError,
)
from fedcxr.indexer import offline
from fedcxr.indexer.endpoint import Endpoint
from fedcxr.ledger.submissions import listing
from fedcxr.messages import RefusalReply, UpdateReply
from fedcxr.store.blobs import BlobStore
from fedcxr.store.identity import Identity
from fedcxr.store.metrics_file import MetricsFile
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import frozen_file, model_file
from fedcxr.update.layout import Layout, TensorSpec
from fedcxr.update.metrics import HospitalMetrics
from fedcxr.update.round_config import RoundConfig
from server.events import HospitalAnswered

MEBIBYTE = 1 << 20
HUGE = 10 << 30  # bytes of a file without content: it takes no disk


@contextlib.contextmanager
def within(megabytes: float) -> Iterator[None]:
    """Fail where more memory than this is taken at once meanwhile."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1] / MEBIBYTE
    finally:
        tracemalloc.stop()
    assert peak < megabytes, f"{peak:.0f} MiB"


def hollow(path: Path, size: int = HUGE, begin: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(size)
    return path


# Files


def test_a_file_is_read_up_to_its_bound_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    with within(3), pytest.raises(StoreError, match=r"more than 1,000,000 bytes"):
        bounded.read(hollow(tmp_path / "file"), 1_000_000)
    (tmp_path / "file").write_bytes(b"x" * 10)
    assert bounded.read(tmp_path / "file", 10) == b"x" * 10
    with pytest.raises(StoreError):
        bounded.read(tmp_path / "file", 9)
    os.mkfifo(tmp_path / "pipe")
    assert bounded.read(tmp_path / "pipe", 10) == b""


def test_lines_are_cut_at_their_bound(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"12345\n123456\n1234567890123\nab")
    assert list(bounded.lines(path, 100, 5)) == [b"12345\n", b"123456", b"123456", b"ab"]
    with pytest.raises(StoreError):
        list(bounded.lines(path, 20, 5))
    with within(5), pytest.raises(StoreError):
        list(bounded.lines(hollow(path), 1 << 30, 100))
    with within(5):
        assert [len(line) for line in bounded.lines(hollow(path, 50 * MEBIBYTE), 1 << 30, 100)] == [101]


# JSON and TOML


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("9" * 81, "81 digits"),
        ("[" + "9" * 4_000_000 + "]", "digits"),
        ("[" + "{}," * 400_000 + "1]", "more values"),
        ("[" + "1," * 1_100_000 + "1]", "more values"),
        (" " * (json_text.LONGEST + 1), "at most"),
        (
            '"' + '\\"' * 1_000_000,
            "Unterminated",
        ),  # with an end in every second place
        ('["' * 500_000, "deep"),
    ],
    ids=["digits", "many digits", "objects", "numbers", "length", "quotes", "openings"],
)
def test_json_that_is_too_much_of_anything_is_an_error_in_no_time(text: str, why: str) -> None:
    begun = time.monotonic()
    with within(64), pytest.raises(ValueError, match=why):
        json_text.parse(text)
    assert time.monotonic() - begun < 20


def test_numbers_of_the_contracts_are_read() -> None:
    assert json_text.parse(str(2**256 - 1)) == 2**256 - 1
    assert json_text.parse(str(-(2**255))) == -(2**255)


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * 20_000) + " = 1",
        "[" + ".".join(["'a,b'"] * 30_000) + "]",
        "a = " + "[" * 100_000,
        "a = " + "[" * 200 + "]" * 200,
        "a = " + "9" * 100_000,
        "a = 0x" + "f" * 100_000,
        "a = [0x" + "f" * 17 + "]",
        "#" * (toml_text.LONGEST + 1),
        "a = \x01",
    ],
    ids=["dots", "quoted dots", "open", "deep", "digits", "hex", "65 bits", "length", "control"],
)
def test_toml_that_is_too_much_of_anything_is_an_error_in_no_time(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    begun = time.monotonic()
    with within(64), pytest.raises(ConfigError):
        configuration.load(tmp_path / "config.toml")
    assert time.monotonic() - begun < 10


def test_toml_of_a_configuration_is_read() -> None:
    text = 'a = 0.1\n[b.c]\nd = [0.1, 0.2, 0.3]\ne = "https://a.b.c.d/e.f"\nf = [[1, 2], [3]]\n'
    tree = {"a": 0.1, "b": {"c": {"d": [0.1, 0.2, 0.3], "e": "https://a.b.c.d/e.f", "f": [[1, 2], [3]]}}}
    assert toml_text.parse(text) == toml_text.parse(text.encode()) == tree


def test_files_that_extend_one_another_without_end_are_an_error(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number}.toml").write_text(f'extends = "{number + 1}.toml"')
    with pytest.raises(ConfigError, match="more than 16 files"):
        configuration.load(tmp_path / "0.toml")


# Exports


MEMBERS = {
    "audit.json": b"{}",
    "blobs/" + "ab" * 32: b"blob",
    "manifest.json": b"{}",
    "signature.json": b"{}",
}


def zipped(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def edited(offset: int, value: bytes) -> bytes:
    """The export with bytes of its first member's header changed."""
    data = bytearray(pack(MEMBERS))
    data[offset : offset + len(value)] = value
    return bytes(data)


def repeated() -> bytes:
    """A zip whose directory names one member a thousand times."""
    data = pack({"audit.json": b"x" * 100_000})
    at = data.index(b"PK\1\2")
    entry, end = data[at : data.index(b"PK\5\6")], bytearray(data[data.index(b"PK\5\6") :])
    end[8:20] = struct.pack("<2H2L", 1000, 1000, 1000 * len(entry), at)
    return data[:at] + 1000 * entry + bytes(end)


HOSTILE_EXPORTS = {
    "deflated": lambda: zipped(zipfile.ZIP_DEFLATED, **{"audit.json": bytes(100 * MEBIBYTE)}),
    "zip64 size": lambda: edited(18, b"\xff" * 8),
    "longer than the file": lambda: edited(18, struct.pack("<2L", 1 << 30, 1 << 30)),
    "two sizes": lambda: edited(22, struct.pack("<L", 1)),
    "encrypted": lambda: edited(6, b"\x01\x00"),
    "of another method": lambda: edited(8, b"\x0e\x00"),
    "extra field": lambda: edited(28, b"\x04\x00"),
    "long name": lambda: edited(26, b"\xff\xff"),
    "overlapping": repeated,
    "of another name": lambda: pack({**MEMBERS, "../../home": b""}),
    "of a name with no end": lambda: pack({**MEMBERS, "a" * 60_000: b""}),
    "twice": lambda: zipped(**MEMBERS)[:-22] + zipped(**MEMBERS),
    "out of order": lambda: zipped(**dict(reversed(MEMBERS.items()))),
    "behind something": lambda: b"#!/bin/sh\n" + pack(MEMBERS),
    "before something": lambda: pack(MEMBERS) + bytes(100),
    "too long": lambda: bytes(LARGEST + 1),
}


@pytest.mark.parametrize("name", HOSTILE_EXPORTS)
def test_an_exports_members_are_what_its_own_bytes_are(tmp_path: Path, name: str) -> None:
    data = HOSTILE_EXPORTS[name]()
    with within(4), pytest.raises(StoreError):
        unpack(data)
    with within(4):
        assert not verify(data).authentic
    if len(data) <= LARGEST:
        (tmp_path / "export.zip").write_bytes(data)
        assert isinstance(call("audit", "verify", str(tmp_path / "export.zip")).exception, AuditFailedError)


def test_an_export_is_as_zip_programs_read_it() -> None:
    with zipfile.ZipFile(io.BytesIO(pack(MEMBERS))) as archive:
        assert {info.filename: archive.read(info) for info in archive.infolist()} == MEMBERS
        assert archive.testzip() is None
    assert unpack(pack(MEMBERS)) == MEMBERS


def test_an_exports_file_is_bounded_before_it_is_read(tmp_path: Path) -> None:
    with within(1.5 * LARGEST / MEBIBYTE):
        result = call("audit", "verify", str(hollow(tmp_path / "export.zip")))
    assert isinstance(result.exception, StoreError)
    assert result.exception.exit_code == 60


# Layouts and model files


def layout_text(*rows: object, **more: object) -> str:
    return json.dumps({"format": "fedcxr/layout/1", "tensors": list(rows), **more})


GOOD = ["a", [2, 3], "float32", False, False]


@pytest.mark.parametrize(
    "text",
    [
        layout_text(),
        layout_text(["a", [True], "float32", False, False]),
        layout_text(["a", [-2, -3], "float32", False, False]),
        layout_text(["a", [0], "float32", False, False]),
        layout_text(["a", [2.0], "float32", False, False]),
        layout_text(["a", ["2"], "float32", False, False]),
        layout_text(["a", [1] * 9, "float32", False, False]),
        layout_text(["a", [1 << 20, 1 << 20], "float32", False, False]),
        layout_text(["a", [10**70], "float32", False, False]),
        layout_text(*([f"a{n}", [1 << 28], "float32", False, False] for n in range(4))),
        layout_text(["a", [2], "float64", False, False]),
        layout_text(["a", [2], "float32", 1, False]),
        layout_text(["a", [2], "float32", False, "no"]),
        layout_text(["a", 2, "float32", False, False]),
        layout_text([["a"], [2], "float32", False, False]),
        layout_text(["", [2], "float32", False, False]),
        layout_text(["a" * 257, [2], "float32", False, False]),
        layout_text(["a\x1b", [2], "float32", False, False]),
        layout_text(GOOD, GOOD),
        layout_text([*GOOD, 1]),
        layout_text(GOOD, frozen=["ab" * 32]),
        layout_text(GOOD, frozen="AB" * 32),
        layout_text(*([f"a{n}", [1], "float32", False, False] for n in range(66_000))),
        json.dumps({"tensors": [GOOD]}),
        json.dumps({"format": "fedcxr/layout/1", "tensors": {"a": GOOD}}),
        "[]",
        "9" * 100,
    ],
)
def test_a_layout_has_only_what_a_model_can_have(text: str) -> None:
    with within(64), pytest.raises(LayoutError):
        Layout.from_json(text)


def test_a_good_layout_is_read() -> None:
    assert Layout.from_json(layout_text(GOOD)).tensors == (TensorSpec("a", (2, 3), False, False),)


LAYOUT = Layout((TensorSpec("a", (2, 3), False, False),))


def tensor_file(path: Path, header: object, data: bytes = bytes(24), length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


TENSOR = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ({"a": TENSOR}, 2**63),
        ({"a": TENSOR}, 10_000),
        ({"a": TENSOR}, 0),
        ({"a": {**TENSOR, "data_offsets": [0, 2**40]}}, None),
        ({"a": {**TENSOR, "data_offsets": [-24, 0]}}, None),
        ({"a": {**TENSOR, "data_offsets": [0, 20]}}, None),
        ({"a": {**TENSOR, "shape": [2**31, 2**31]}}, None),
        ({"a": {**TENSOR, "shape": [True, 6]}}, None),
        ({"a": {**TENSOR, "shape": [1] * 100 + [6]}}, None),
        ({"a": {**TENSOR, "dtype": "F31"}}, None),
        ({"a": {**TENSOR, "dtype": ["F32"]}}, None),
        ({"a": TENSOR, "b": TENSOR}, None),  # they overlap
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, None),  # bytes of nobody
        ({"a": 1}, None),
        ([1], None),
        (b"[" * 3_000_000, None),
        (b'{"a":' * 100, None),
        (b"\xff", None),
    ],
)
def test_a_model_files_header_is_held_to_the_file(tmp_path: Path, header: object, length: int | None) -> None:
    path = tensor_file(tmp_path / "m.safetensors", header, length=length)
    with within(32), pytest.raises(ModelError):
        model_file.read(path, LAYOUT)
    with pytest.raises(LayoutError):
        frozen_file.root(path)


def test_a_model_files_size_costs_nothing(tmp_path: Path) -> None:
    size = 1 << 30
    row = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    header = json.dumps({"b": row}).encode()
    begin = len(header).to_bytes(8, "little") + header
    path = hollow(tmp_path / "m.safetensors", size + len(begin), begin)
    with within(1), pytest.raises(LayoutError, match="missing"):
        model_file.read(path, LAYOUT)
    with within(1), pytest.raises(ModelError):
        model_file.read(hollow(path), LAYOUT)
    with within(1), pytest.raises(ModelError):
        model_file.read(hollow(path, 1 << 40, begin), LAYOUT)


# Blobs


@pytest.mark.parametrize("place", ["folder", "memory"])
def test_no_more_of_a_blob_is_fetched_than_it_may_have(tmp_path: Path, place: str) -> None:
    store = BlobStore(str(tmp_path / "blobs") if place == "folder" else f"memory://{tmp_path.name}")
    root = store.put(b"x" * 1000)
    assert store.get(root, 1000).nbytes == 1000
    with pytest.raises(BlobCorruptError, match="more than 999 bytes"):
        store.get(root, 999)
    with pytest.raises(BlobCorruptError, match="more than 999 bytes"):
        store.get(root, 999, out=np.empty(5000, np.uint8))
    assert store.get(root, 5000, out=np.empty(2000, np.uint8)).nbytes == 1000
    assert store.get(root, 5000, out=np.empty(20, np.uint8)).nbytes == 1000
    if place == "folder":
        hollow(Path(store.path(root)))
        with within(2), pytest.raises(BlobCorruptError):
            store.get(root, MEBIBYTE)


def serving(body: Callable[[BaseHTTPRequestHandler], None]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                body(self)
            self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            del arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@contextlib.contextmanager
def endless(body: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    server = serving(body)
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def without_end(handler: BaseHTTPRequestHandler) -> None:
    while True:
        handler.wfile.write(b" " * 65536)


def by_drops(handler: BaseHTTPRequestHandler) -> None:
    for _ in range(300):
        handler.wfile.write(b" ")
        time.sleep(0.05)


def test_an_ipfs_node_that_never_stops_is_not_listened_to() -> None:
    with endless(without_end) as host:
        store = BlobStore(f"ipfs://{host}/folder", make=False)
        with within(8), pytest.raises(BlobCorruptError):
            store.get(bytes(32), MEBIBYTE)
        with within(200), pytest.raises(StoreError):
            store.size(bytes(32))


@pytest.mark.parametrize("reader", ["indexer", "web3"])
@pytest.mark.parametrize("body", [without_end, by_drops])
def test_an_endpoints_answer_has_a_length_and_an_end(
    monkeypatch: pytest.MonkeyPatch, body: Callable[[BaseHTTPRequestHandler], None], reader: str
) -> None:
    for module in ("fedcxr.indexer.endpoint", "fedcxr.chain.endpoint"):
        monkeypatch.setattr(f"{module}._LARGEST", MEBIBYTE)
        monkeypatch.setattr(f"{module}._PATIENCE", 0.5)
    with endless(body) as host, within(16), pytest.raises(ChainError):
        if reader == "indexer":
            Endpoint(f"http://{host}", tries=1).head()
        else:
            connect(f"http://{host}", RetryPolicy(timeout=5, retries=0))


def answering(text: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: handler.wfile.write(text)  # type: ignore[func-returns-value,return-value]


@pytest.mark.parametrize("text", [b"[" * 1_000_000, b'{"result":' + b"9" * 10_000 + b"}", b"{}", b"1"])
def test_an_endpoints_answer_is_bounded_json(text: bytes) -> None:
    with endless(answering(text)) as host:
        with pytest.raises(ChainError):
            Endpoint(f"http://{host}", tries=1).head()
        with pytest.raises(ChainError):
            connect(f"http://{host}", RetryPolicy(timeout=5, retries=0))


def test_a_request_to_a_chain_says_a_length_that_can_be() -> None:
    class Silent:
        def answer(self, method: str, params: Any) -> dict[str, Any]:
            return {"result": [method, params]}

        def gas_of(self, transaction: bytes) -> int:
            return len(transaction)

    with contextlib.closing(RpcServer(Silent())) as server:
        host, port = server.url.removeprefix("http://").split(":")
        for length, body in ((b"9" * 5000, b""), (b"1000000", b"[" * 1_000_000), (b"9000", b"9" * 9000)):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n" + body)
                assert b" 4" in connection.recv(4096)[:16]


# Records


@pytest.mark.parametrize("kind", [HospitalMetrics, RoundConfig])
def test_small_records_are_small(kind: Any) -> None:
    for data in (
        b" " * MEBIBYTE + b"{}",
        b"[" * 500_000,
        b'{"round":' + b"9" * 500_000 + b"}",
        b"1",
        b"\xff",
    ):
        with within(16), pytest.raises((FederationError, LayoutError)):
            kind.from_bytes(data)


@pytest.mark.parametrize("value", [True, 1.0, "1", [1]])
def test_a_rounds_configuration_has_whole_numbers(value: object) -> None:
    good = RoundConfig(1, "", "", "", (1, 2))
    tree = json.loads(good.to_bytes())
    assert RoundConfig.from_bytes(json.dumps(tree).encode()) == good
    for changes in ({"round": value}, {"exponents": [value]}, {"exponents": [1, value]}, {"layout": 1}):
        with pytest.raises(LayoutError):
            RoundConfig.from_bytes(json.dumps({**tree, **changes}).encode())


def test_a_list_of_submissions_has_a_place_for_each_seat() -> None:
    for data in (b" " * (listing.LONGEST + 1), b"[" + b"{}," * 257 + b"{}]", b"[" * 200_000):
        with within(16), pytest.raises(FederationError):
            listing.from_bytes(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [("hospital", "0x" * 200), ("root", bytes(257)), ("signature", bytes(100_000)), ("metrics", bytes(8193))],
)
def test_a_reply_is_bounded_field_by_field(field: str, value: object) -> None:
    reply = UpdateReply(1, 1, "0x", b"", b"", 1, 1, b"", b"", b"", 0.0, b"blob")
    assert UpdateReply.from_records(reply.to_records()) == reply
    with pytest.raises(FederationError, match=f"{field}.* has "):
        UpdateReply.from_records(replace(reply, **{field: value}).to_records())


def test_a_kind_of_message_is_a_word() -> None:
    records = RefusalReply(1, "", b"", b"").to_records()
    for kind in ("k" * 1_000_000, ["k"] * 1000):
        records["fedcxr"] = ConfigRecord({"kind": kind})
        with pytest.raises(FederationError) as caught:
            RefusalReply.from_records(records)
        assert len(str(caught.value)) < 200


def test_an_update_that_is_longer_than_any_is_not_taken(small_config: Config, tmp_path: Path) -> None:
    recorder, sent = Recorder(), 5 * MEBIBYTE
    victims: list[str] = []

    def tamper(name: str, reply: UpdateReply) -> UpdateReply:
        victims.append(name)
        return replace(reply, bulk=bytes(sent), size=sent) if name == victims[0] else reply

    config = small_config.with_changes({"federation.rounds": 1})
    run_federation(config, tmp_path / "run", observer=recorder, tamper=tamper)
    reasons = [
        event.reason for event in recorder.events if isinstance(event, HospitalAnswered) and event.reason
    ]
    assert len(reasons) == 1
    assert reasons[0].startswith(f"it sent {sent:,} bytes, where an update has at most")


# Runs


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.fixture(scope="module")
def finished(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = small_config.with_changes({"federation.rounds": 1})
    return run_federation(config, tmp_path_factory.mktemp("sizes") / "run").root


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> RunDirectory:
    shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("cache", "hospitals"))
    return RunDirectory(tmp_path / "run")


def a_view(path: Path) -> None:
    """A chain's file whose table is a view without end."""
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        numbers = "WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n)"
        connection.execute(
            f"CREATE VIEW chain AS {numbers} SELECT zeroblob(1000000) key, zeroblob(9) value FROM n"
        )


def an_update(run: RunDirectory) -> Path:
    return max((run.root / "blobs").rglob("*"), key=lambda path: path.is_file() * path.stat().st_size)


def a_small_blob(run: RunDirectory) -> Path:
    return min(
        (p for p in (run.root / "blobs").rglob("*") if p.is_file()), key=lambda path: path.stat().st_size
    )


ABSURD = {
    "layout": lambda run: hollow(run.layout_path),
    "a layout of nothing": lambda run: run.layout_path.write_text(layout_text(["a", [1 << 60], "x", 1, 2])),
    "configuration": lambda run: hollow(run.config_path),
    "facts": lambda run: hollow(run.root / "ledger.json"),
    "metrics": lambda run: hollow(run.metrics.path),
    "metrics without a line": lambda run: hollow(run.metrics.path, 100 * MEBIBYTE),
    "lines": lambda run: run.metrics.path.write_bytes(b"{}\n" * 50_000),
    "the released model": lambda run: hollow(run.model(1)),
    "the first model": lambda run: hollow(run.model(0)),
    "an update": lambda run: hollow(an_update(run)),
    "a small blob": lambda run: hollow(a_small_blob(run)),
    "a chain": lambda run: hollow(run.chain_path),
    "a view": lambda run: a_view(run.chain_path),
}


@pytest.mark.parametrize("name", ABSURD)
def test_an_audit_of_an_absurd_run_ends_with_90_and_little_memory(run: RunDirectory, name: str) -> None:
    ABSURD[name](run)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = call("audit", str(run.root))
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert taken < 300, f"{taken:.0f} MiB"
    assert isinstance(result.exception, FedcxrError), (result.exception, result.output)
    assert result.exception.exit_code == 90, result.output
    assert len(result.output) < 100_000


@pytest.mark.parametrize(
    "name", ["metrics", "metrics without a line", "a chain", "a view", "facts", "configuration"]
)
def test_the_ledger_of_an_absurd_run_is_shown_or_refused(run: RunDirectory, name: str) -> None:
    ABSURD[name](run)
    for words in (("ledger", "show"), ("ledger", "rounds")):
        result = call(*words, str(run.root))
        assert result.exit_code == 0 or isinstance(result.exception, FedcxrError), result.output


def test_metrics_are_read_line_by_line(tmp_path: Path) -> None:
    path = hollow(tmp_path / "metrics.jsonl")
    with within(2), pytest.raises(StoreError):
        MetricsFile(path).read()
    assert MetricsFile(path).hospital_names() == {}
    report = AuditReport()
    with within(2):
        assert read_lines(path, 1, report) == {}
    assert len(report.findings) == 1
    hollow(path, 20 * MEBIBYTE)
    with within(12):
        assert MetricsFile(path).read() == []
        assert read_lines(path, 1, report) == {}
    path.write_bytes(b"".join(b'{"round": %d}\n' % number for number in range(3_000)))
    report = AuditReport()
    with within(4):
        read_lines(path, 1, report)
    assert len(report.findings) == 21


def test_a_key_file_is_bounded(tmp_path: Path) -> None:
    with within(2), pytest.raises(StoreError, match="not a key file"):
        Identity.load(hollow(tmp_path / "auditor.json"))


def test_the_table_of_a_chain_is_the_same_for_both_who_read_it() -> None:
    assert offline.SCHEMA == sqlite_db.SCHEMA
