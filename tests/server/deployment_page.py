"""The steps of docs/deployment.md, run as they stand there, and the end of all that they started."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from server.grids import session
from server.grids.flower_environment import flower_environment

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "deployment.md"


def step(name: str) -> str:
    """The commands of one step."""
    page = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- step: {name} -->\n```bash\n(.*?)```", page, re.DOTALL)
    assert found, f"{PAGE} has no step {name}"
    return found[1]


class Party:
    """One party's shells: a directory and variables."""

    def __init__(self, directory: Path, **variables: str) -> None:
        directory.mkdir()
        self.directory = directory
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = flower_environment(directory / "flower") | {"PATH": path} | variables

    def run(self, name: str, *, seconds: float = 60) -> str:
        """Run a step to its end; what it said is returned, and is the error when it failed."""
        log = self.directory / f"{name}.log"
        process = self.start(name)
        try:
            status = process.wait(seconds)
        finally:
            end(process)
        assert status == 0, f"step {name} ended with {status}:\n{log.read_text()}"
        return log.read_text()

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a step that goes on, in a session of its own; its output is in ``<step>.log``."""
        script = f"set -euo pipefail\n{step('environment')}\n{step(name)}"
        with (self.directory / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that was started here, and all that came from it."""
    end_family(process.pid)
    process.wait()


def end_family(ancestor: int) -> None:
    """Kill a process and all that came from it; Flower starts its helpers in sessions of their own."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    family = [ancestor]
    for pid in family:
        family += parents.get(pid, [])
    leaders = {ancestor}
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            leaders.add(os.getsid(pid))
    for leader in leaders - {os.getsid(0)}:
        session.end(leader)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], *, seconds: float = 60) -> None:
    """Wait until a process that was started listens on loopback."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < deadline, f"nothing listens at {port}"
        time.sleep(0.2)
