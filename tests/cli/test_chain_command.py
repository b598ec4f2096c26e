"""``fedcxr chain up | status | down``: a chain that stands, goes on where it was, and leaves nothing."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from contract_party import account
from typer.testing import CliRunner

from fedcxr.chain.anvil import node
from fedcxr.chain.backends import RemoteChain
from fedcxr.cli import main  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app
from fedcxr.errors import ChainError

pytestmark = pytest.mark.usefixtures("anvil_binary")


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["chain", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = status.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == pid:
                found.append(int(status.parent.name))
                found += children(found[-1])
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_chain_stands_is_killed_and_goes_on_where_it_was(tmp_path: Path) -> None:
    home = tmp_path / "chain"
    assert CliRunner().invoke(app, ["chain", "status", "--dir", str(home)]).exit_code == 1
    assert "ledger.backend=anvil" in invoke("up", "--dir", home, "--port", 0)
    first = json.loads(invoke("status", "--dir", home, "--json"))
    with pytest.raises(ChainError, match="up already"):
        invoke("up", "--dir", home)
    chain = RemoteChain.at(first["facts"]["url"], chain_id=61370, development=True)
    chain.fund(account(1).address)
    assert "error" in chain.w3.provider.make_request("anvil_reorg", [1, []])  # type: ignore[arg-type]

    pid = first["facts"]["pid"]
    below = children(pid)
    os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
    deadline = time.monotonic() + 5
    while any(map(is_running, below)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert below
    assert not any(map(is_running, below)), "anvil outlived the process that kept it"

    assert CliRunner().invoke(app, ["chain", "status", "--dir", str(home)]).exit_code == 1
    invoke("up", "--dir", home, "--port", 0)
    status = node.status(home)
    assert status is not None
    assert (status.genesis, status.block) == (first["genesis"], first["block"] + 1)
    chain = RemoteChain.at(status.facts.url, chain_id=61370, development=True)
    assert chain.w3.eth.get_balance(account(1).address) > 0
    assert "a block a transaction" in invoke("status", "--dir", home)
    below = children(status.facts.pid)
    assert "is down" in invoke("down", "--dir", home)
    assert not any(map(is_running, below))
    with pytest.raises(ChainError, match="no chain is up"):
        invoke("down", "--dir", home)


def test_why_it_does_not_come_up_is_said(tmp_path: Path) -> None:
    with pytest.raises(ChainError, match="does not start"):
        invoke("up", "--dir", tmp_path, "--anvil", "/bin/false", "--port", 0)
    with pytest.raises(ChainError, match="no such program"):
        invoke("up", "--dir", tmp_path, "--anvil", "/none")
