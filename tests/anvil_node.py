"""A real anvil process, where the binary is at hand."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from web3 import HTTPProvider, Web3

_PACKAGED = Path("contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")


def anvil_binary() -> str:
    """Its path; skips the test where there is none."""
    packaged = Path(__file__).resolve().parents[1] / _PACKAGED
    found = (
        os.environ.get("FEDCXR_ANVIL")
        or shutil.which("anvil")
        or (str(packaged) if packaged.exists() else "")
    )
    if not found:
        pytest.skip("no anvil: npm install @foundry-rs/anvil-linux-amd64 in contracts/, or set FEDCXR_ANVIL")
    return found


@contextmanager
def anvil_node(chain_id: int = 1337) -> Iterator[str]:
    """The URL of a fresh node; it ends with the context."""
    binary = anvil_binary()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [binary, "--port", str(port), "--chain-id", str(chain_id), "--silent"]
    process = subprocess.Popen(command)
    try:
        url = f"http://127.0.0.1:{port}"
        w3 = Web3(HTTPProvider(url))
        for _ in range(200):
            if w3.is_connected():
                break
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)
