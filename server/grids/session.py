"""A POSIX session: a process started as its leader, and all that came from it, however it came to an end.

Ray's daemons make process groups of their own and are re-parented when their starter dies; the session is the
one mark that they keep.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from fedcxr.errors import GridError


def members(session: int) -> list[int]:
    """Process ids of a session that still run, its leader first; zombies hold nothing and are left out."""
    found = []
    for pid, state in _processes():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if not state.startswith(("Z", "X")) and os.getsid(pid) == session:
                found.append(pid)
    return sorted(found, key=lambda pid: pid != session)


def end(session: int, *, timeout: float = 10.0) -> None:
    """Kill every process of a session but the caller.

    A process may start another while it is being killed, so it is looked again until none is left.

    Raises:
        GridError: some live on after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while left := [pid for pid in members(session) if pid != os.getpid()]:
        if time.monotonic() > deadline:
            raise GridError(f"processes {left} could not be ended: end them by hand.")
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _processes() -> Iterator[tuple[int, str]]:
    """Every process and its state, from /proc or, where there is none, from ps."""
    if not Path("/proc/self/stat").exists():
        listed = subprocess.run(["ps", "-A", "-o", "pid=,state="], capture_output=True, text=True, check=True)
        for line in listed.stdout.splitlines():
            pid, state = line.split(maxsplit=1)
            yield int(pid), state
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The command name before the state is in brackets and may hold anything.
                yield int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()[0]
