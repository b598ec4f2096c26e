"""The adversary ships a run directory, and whoever reads it must lend it nothing: no program, key or network.

What a stranger's ``config.toml`` and ``ledger.url`` name is shown, and used only with ``--trust-run``.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from federation import run_federation
from kept_runs import KeptRun
from typer.testing import CliRunner, Result

from fedcxr.cli import app as registered  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import AuditFailedError, FedcxrError, UntrustedRunError
from fedcxr.store.filesystem import open_url
from fedcxr.store.run_directory import RunDirectory

SECRET = "FEDCXR_TEST_SECRET"
READERS = (
    ("audit", "{run}"),
    ("ledger", "show", "{run}"),
    ("ledger", "rounds", "{run}"),
    ("ledger", "rewards", "{run}"),
    ("ledger", "hospital", "0x", "{run}"),
    ("ledger", "update", "1", "0x", "{run}"),
    ("ledger", "watch", "{run}"),
    ("ledger", "bond", "{run}"),
    ("ledger", "prove", "{run}", "1", "0x"),
    ("ledger", "challenge", "{run}", "1"),
    ("ledger", "dispute", "{run}", "1"),
)
OF_STORE = (
    ("audit", "{run}"),
    ("ledger", "challenge", "{run}", "1"),
    ("ledger", "dispute", "{run}", "1"),
)


def call(run: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [word.replace("{run}", str(run)) for word in words])


def refusal(result: Result) -> str:
    """Why a command would not go on."""
    assert isinstance(result.exception, UntrustedRunError), result.output
    return str(result.exception)


def rewrite(run: Path, **keys: str) -> None:
    """Set keys of the section ``[ledger]`` of a run's configuration, or of ``[store]``: ``store_url``."""
    path = run / "config.toml"
    text = path.read_text()
    for key, value in keys.items():
        section, _, name = key.rpartition("_")
        head, heading, tail = text.partition(f"[{section or 'ledger'}]\n")
        assert heading
        line = f"{name} = '{value}'"
        tail, count = re.subn(rf"^{name} = .*$", lambda _, line=line: line, tail, count=1, flags=re.MULTILINE)
        text = head + heading + (tail if count else f"{line}\n{tail}")
    path.write_text(text)


@dataclass
class Listener:
    """An endpoint of the adversary: it answers nothing of use, and remembers what it was asked."""

    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.append(self.path)
                self.send_error(500)

            def log_message(self, *arguments: object) -> None:
                del arguments

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def finished(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = small_config.with_changes({"federation.rounds": 1})
    return run_federation(config, tmp_path_factory.mktemp("foreign") / "run").root


@pytest.fixture
def on_anvil(tmp_path: Path, anvil_binary: Path) -> Path:
    """A run whose chain was an anvil, and whose configuration names a program of its own."""
    del anvil_binary
    run = KeptRun.unpack("anvil", tmp_path).root
    program = run / "anvil"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    rewrite(run, anvil=str(program))
    return run


@pytest.mark.parametrize("words", [READERS[0], READERS[1], READERS[7], READERS[10]], ids=" ".join)
def test_a_program_of_the_run_is_not_started(
    on_anvil: Path, tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(on_anvil, *words)
    assert not (tmp_path / "started").exists()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing read yet"))
    call(on_anvil, *words, "--trust-run")
    assert (tmp_path / "started").exists()


def test_an_audit_says_which_program_it_did_not_start(on_anvil: Path) -> None:
    said = call(on_anvil, "audit", "{run}").output
    assert f"config.toml names the program '{on_anvil / 'anvil'}'" in " ".join(said.split())


@pytest.fixture
def elsewhere(finished: Path, tmp_path: Path, listener: Listener) -> Path:
    """A run whose chain is said to be at an endpoint, with a variable of the reader's in its URL."""
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "ledger.sqlite").unlink()
    rewrite(run, backend="rpc", url=f"{listener.url}/${SECRET}")
    return run


@pytest.mark.parametrize("words", READERS[1:], ids=" ".join)
def test_nothing_is_asked_of_an_endpoint_that_the_run_names_and_no_variable_leaves(
    elsewhere: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv(SECRET, "hunter2")
    result = call(elsewhere, *words)
    assert f"{listener.url}/${SECRET}" in refusal(result)
    assert listener.asked == []
    assert "hunter2" not in result.output + str(result.exception)
    assert "--trust-run" in UntrustedRunError.help
    trusting = call(elsewhere, *words, "--trust-run")
    assert isinstance(trusting.exception, FedcxrError)
    assert set(listener.asked) == {"/hunter2"}


def test_an_audit_names_the_endpoint_with_its_variables_as_they_stand(
    elsewhere: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET, "hunter2")
    result = call(elsewhere, "audit", "{run}")
    assert f"{listener.url}/${SECRET}" in str(result.exception)
    assert "hunter2" not in result.output + str(result.exception)
    assert listener.asked == []


@pytest.fixture(scope="module")
def stored_elsewhere(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that was founded with a store outside of its folder, and the URL of that store."""
    root = tmp_path_factory.mktemp("elsewhere")
    store = str(root / "store")
    config = small_config.with_changes({"federation.rounds": 1, "store.url": store})
    return run_federation(config, root / "run").root, store


@pytest.mark.parametrize("words", OF_STORE, ids=" ".join)
def test_a_store_that_the_run_names_is_not_opened(
    stored_elsewhere: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    run, store = stored_elsewhere
    opened: list[str] = []
    monkeypatch.setattr("fedcxr.store.filesystem.open_url", lambda url: opened.append(url) or open_url(url))
    assert store in refusal(call(run, *words))
    assert opened == []
    for more in (["--trust-run"], ["--store", store]):
        assert not isinstance(call(run, *words, *more).exception, UntrustedRunError)
        assert store in opened
        assert set(opened) <= {store, str(run / "blobs")}  # an audit looks for what should not be there
        opened.clear()


def test_an_audit_of_a_store_that_the_reader_agreed_to_is_what_it_was(
    stored_elsewhere: tuple[Path, str], tmp_path: Path
) -> None:
    run, store = stored_elsewhere
    assert call(run, "audit", "{run}", "--trust-run").exit_code == 0
    assert call(run, "audit", "{run}", "--store", store).exit_code == 0
    assert isinstance(call(run, "audit", "{run}", "--store", str(tmp_path)).exception, AuditFailedError)


@pytest.mark.parametrize("url", ["github://a:b@main/", "simplecache::s3://b", "ftp://127.0.0.1/x"])
def test_a_store_of_another_protocol_is_not_opened_though_the_run_is_trusted(
    tmp_path: Path, url: str
) -> None:
    (tmp_path / "config.toml").write_text(f"[store]\nurl = '{url}'\n")
    with pytest.raises(UntrustedRunError, match="A run may name a folder, or file, s3"):
        _ = RunDirectory(tmp_path, trusted=True).store_url


def test_nobody_waits_for_a_pipe_in_the_place_of_that_file(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    os.mkfifo(run / "ledger.url")
    assert call(run, "ledger", "show", "{run}").exit_code == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.7:8545",
        "http://127.0.0.1.example.org:8545",
        "http://127.0.0.1:8545@192.0.2.7/",
        "file:///x",
    ],
)
def test_the_file_of_a_living_chain_sends_nobody_off_this_machine(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    run, asked = tmp_path / "run", []
    shutil.copytree(finished, run)
    (run / "ledger.url").write_text(url)
    monkeypatch.setattr("fedcxr.indexer.endpoint.Endpoint.chain_id", lambda self: asked.append(self.name))
    assert call(run, "ledger", "show", "{run}").exit_code == 0
    assert asked == []


@pytest.mark.parametrize("name", ["ledger.sqlite", "ledger.journal"])
@pytest.mark.parametrize("kind", ["pipe", "giant", "folder"])
def test_a_chain_that_is_no_file_or_without_end_is_neither_waited_for_nor_copied(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    run = RunDirectory(shutil.copytree(finished, tmp_path / "run"))
    run.chain_path.unlink()
    place = run.root / name
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        with place.open("wb") as file:
            file.truncate(1 << 40)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    left = shutil.disk_usage(tmp_path).free
    assert isinstance(call(run.root, "audit", "{run}").exception, AuditFailedError)
    assert isinstance(call(run.root, "ledger", "show", "{run}").exception, FedcxrError)
    assert left - shutil.disk_usage(tmp_path).free < 1 << 28


@pytest.mark.parametrize("name", ["partition.json", "metrics.jsonl", "heads.json", "layout.json", "blob"])
def test_nobody_waits_for_a_pipe_in_the_place_of_any_file(finished: Path, tmp_path: Path, name: str) -> None:
    run = RunDirectory(shutil.copytree(finished, tmp_path / "run"))
    place = run.root / name
    if name == "blob":
        place = max(run.root.glob("blobs/*/*"), key=lambda path: path.stat().st_size)
    place.unlink()
    os.mkfifo(place)
    commands = "audit {run}", "ledger show {run}"
    ended = [threading.Thread(target=call, args=(run.root, *line.split()), daemon=True) for line in commands]
    for thread in ended:
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
