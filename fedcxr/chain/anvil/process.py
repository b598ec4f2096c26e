"""The anvil process: found, started, and never left behind.

anvil is Foundry's development node, a native binary in the npm package ``@foundry-rs/anvil``. It keeps its
chain in memory; :mod:`fedcxr.chain.anvil.chain` makes that durable.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import requests

from fedcxr.chain.anvil.journal import Beginning
from fedcxr.chain.embedded.evm import FAUCET
from fedcxr.errors import ChainError

_NPM = Path(__file__).resolve().parents[3] / "contracts" / "node_modules" / "@foundry-rs"
_BLOCK_FORKS = (
    *("homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg"),
    *("istanbul", "berlin", "london", "mergeNetsplit"),
)
_STARTS = 10.0  # seconds in which it answers; 0.1 on an idle machine
_ATTEMPTS = 3  # the free port may be taken before anvil has it
# The shell ends anvil when its own standard input ends: with this process, however that dies. It removes the
# folder that anvil ran in, its first argument.
_KEEPER = """
folder=$1
shift
exec 3<&0
"$@" 3<&- </dev/null &
anvil=$!
echo $anvil
exec >&-
(read -r _ <&3; kill -KILL $anvil) &
reader=$!
exec 3<&-
wait $anvil
code=$?
kill -KILL $reader
cd / && rm -rf -- "$folder"
exit $code
"""


def find_anvil(path: str = "") -> Path:
    """The binary: as configured, on PATH, or where ``npm ci --prefix contracts`` puts it.

    Raises:
        ChainError: there is none.
    """
    if path:
        given = Path(os.path.expandvars(path)).expanduser()
        if not os.access(given, os.X_OK):
            raise ChainError(f"ledger.anvil = {path!r}: no such program.")
        return given
    if on_path := shutil.which("anvil"):
        return Path(on_path)
    for candidate in sorted(_NPM.glob("anvil-*/bin/anvil")):
        if os.access(candidate, os.X_OK):
            return candidate
    raise ChainError(
        "anvil is not installed: npm ci --prefix contracts brings it, or set ledger.anvil to its path."
    )


class Anvil:
    """One anvil process that makes blocks only when it is told to."""

    def __init__(self, binary: Path, beginning: Beginning) -> None:
        """Start the process at a free port of this machine.

        Raises:
            ChainError: it does not start.
        """
        self._binary = binary
        self._fork = beginning.fork
        why = ""
        for _ in range(_ATTEMPTS):
            self._start(beginning)
            if (why := self._wait()) == "":
                return
            self.close()
        raise ChainError(f"{binary} does not start: {why}")

    @property
    def alive(self) -> bool:
        return self._keeper.poll() is None

    def has_ended(self, within: float) -> bool:
        """Wait for the process to end, for these seconds at most; whether it has ended."""
        try:
            self._keeper.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Kill the process, which has nothing left to write, and remove its files."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait()

    def _start(self, beginning: Beginning) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        folder = Path(tempfile.mkdtemp(prefix="fedcxr-anvil-"))
        (folder / "genesis.json").write_text(_genesis(beginning))
        self._keeper = subprocess.Popen(
            [
                *("/bin/sh", "-c", _KEEPER, "sh", folder, self._binary, "--silent", "--no-mining"),
                *(
                    "--order",
                    "fifo",
                    "--port",
                    str(port),
                    "--accounts",
                    "0",
                    "--chain-id",
                    str(beginning.chain_id),
                ),
                *("--gas-limit", str(beginning.gas_limit), "--hardfork", beginning.fork),
                *("--init", "genesis.json", "--cache-path", "."),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            start_new_session=True,  # a Ctrl-C is for the run, which ends it in its turn
        )
        assert self._keeper.stdout is not None
        with self._keeper.stdout as output:
            self.pid = int(output.readline() or 0)

    def _wait(self) -> str:
        """Wait until anvil answers; why it did not, or an empty string."""
        question: Any = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
        deadline = time.monotonic() + _STARTS
        while time.monotonic() < deadline:
            if not self.alive:
                return f"it ended with status {self._keeper.returncode}."
            with contextlib.suppress(requests.RequestException):
                requests.post(self.url, json=question, timeout=1)
                return "" if self.alive else "another process has its port."
            time.sleep(0.01)
        return f"no answer in {_STARTS:.0f} s."


def _genesis(beginning: Beginning) -> str:
    """Write the genesis file, in which the faucet has all ether, as on the embedded chain."""
    faucet = FAUCET.public_key.to_checksum_address()
    return json.dumps(
        {
            "config": {
                "chainId": beginning.chain_id,
                **{f"{fork}Block": 0 for fork in _BLOCK_FORKS},
                **{f"{fork}Time": 0 for fork in ("shanghai", "cancun", "prague")},
                "terminalTotalDifficulty": 0,
            },
            "nonce": "0x0",
            "timestamp": hex(beginning.timestamp),
            "extraData": "0x",
            "gasLimit": hex(beginning.gas_limit),
            "difficulty": "0x0",
            "mixHash": "0x" + "00" * 32,
            "coinbase": "0x" + "00" * 20,
            "alloc": {faucet: {"balance": hex(10**33)}},
        }
    )
