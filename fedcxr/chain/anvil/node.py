"""A chain that stands by itself, for runs that share it: an anvil, its journal, and a URL, in a directory.

::

    HOME/
      chain.journal   what the anvil is rebuilt from; locked while the chain is up
      chain.json      process and URL of the chain that is up
      chain.log       what it had to say
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from fedcxr import files
from fedcxr.chain.anvil.chain import AnvilChain
from fedcxr.chain.anvil.process import find_anvil
from fedcxr.chain.embedded.evm import GAS_LIMIT
from fedcxr.chain.endpoint import connect
from fedcxr.chain.retry import RetryPolicy
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.chain.web3_errors import translated
from fedcxr.errors import ChainError

_STARTS = 120.0  # seconds; a long journal takes as long as its transactions
_STOPS = 15.0


@dataclass(frozen=True)
class NodeSettings:
    """How a chain is brought up.

    Attributes:
        chain_id: of the chain.
        host: to listen at.
        port: 0 for any free one.
        block_time: seconds between blocks; 0: a block a transaction.
        anvil: path of the program; empty: looked for.
    """

    chain_id: int
    host: str = "127.0.0.1"
    port: int = 8545
    block_time: float = 0.0
    anvil: str = ""


@dataclass(frozen=True)
class NodeFacts:
    """A chain that is up: its process, its URL, and how it makes blocks."""

    pid: int
    url: str
    chain_id: int
    block_time: float


@dataclass(frozen=True)
class NodeStatus:
    """What a chain that is up answers about itself."""

    facts: NodeFacts
    block: int
    genesis: str
    journal_bytes: int


def serve(home: Path, settings: NodeSettings) -> None:
    """Keep a chain up until the process is told to end.

    Raises:
        ChainError: it cannot be opened, or listened at.
    """
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ChainError(f"{home}: cannot be made: {error.strerror}.") from None
    chain = AnvilChain(
        _journal(home),
        chain_id=settings.chain_id,
        binary=find_anvil(settings.anvil),
        block_time=settings.block_time,
    )
    with (
        contextlib.closing(chain),
        contextlib.closing(RpcServer(chain, settings.host, settings.port, send_gas=GAS_LIMIT)) as front,
    ):
        _write(home, NodeFacts(os.getpid(), front.url, settings.chain_id, settings.block_time))
        told.wait()
        _facts(home).unlink(missing_ok=True)


def up(home: Path, settings: NodeSettings) -> NodeFacts:
    """Bring a chain up in a process of its own, which outlives this one.

    Raises:
        ChainError: one is up already, or it does not come up.
    """
    if is_up(home):
        raise ChainError(f"{home}: a chain is up already; `fedcxr chain status` shows it.")
    find_anvil(settings.anvil)
    home.mkdir(parents=True, exist_ok=True)
    _facts(home).unlink(missing_ok=True)
    with (home / "chain.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fedcxr.chain.anvil.node", home.absolute(), json.dumps(asdict(settings))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + _STARTS
    while (facts := _read(home)) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            said = (home / "chain.log").read_text(errors="replace").strip().splitlines() or ["nothing"]
            raise ChainError(f"{home}: the chain does not come up: {said[-1]}")
        time.sleep(0.02)
    process.returncode = 0  # it is meant to outlive this process: nobody here waits for it
    return facts


def down(home: Path) -> NodeFacts:
    """End the chain that is up.

    Raises:
        ChainError: none is up, or it does not end.
    """
    facts = _read(home)
    if facts is None or not is_up(home):
        raise ChainError(f"{home}: no chain is up here.")
    os.kill(facts.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOPS
    while is_up(home):
        if time.monotonic() > deadline:
            raise ChainError(f"{home}: process {facts.pid} does not end; what is journalled is safe.")
        time.sleep(0.02)
    return facts


def status(home: Path) -> NodeStatus | None:
    """The status of the chain that is up; None when no chain is up.

    Raises:
        ChainError: it does not answer.
    """
    facts = _read(home)
    if facts is None or not is_up(home):
        return None
    w3 = connect(facts.url, RetryPolicy(timeout=5, retries=2))
    return NodeStatus(
        facts,
        block=translated(lambda: w3.eth.block_number),
        genesis=translated(w3.genesis),
        journal_bytes=_journal(home).stat().st_size,
    )


def is_up(home: Path) -> bool:
    """Whether a process holds the journal open."""
    try:
        with _journal(home).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _journal(home: Path) -> Path:
    return home / "chain.journal"


def _facts(home: Path) -> Path:
    return home / "chain.json"


def _write(home: Path, facts: NodeFacts) -> None:
    files.write(_facts(home), json.dumps(asdict(facts), indent=2) + "\n")


def _read(home: Path) -> NodeFacts | None:
    try:
        return NodeFacts(**json.loads(_facts(home).read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ChainError(f"{_facts(home)}: cannot be read: {error}") from None


if __name__ == "__main__":
    try:
        serve(Path(sys.argv[1]), NodeSettings(**json.loads(sys.argv[2])))
    except ChainError as error:
        sys.exit(str(error))
