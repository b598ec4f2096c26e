"""The processes that a run consists of: found by their parents, weighed, and ended.

Some systems leave their process group, and Ray's daemons lose their parent. The driver therefore adopts
orphans (``PR_SET_CHILD_SUBREAPER``): whatever a run starts stays below the driver, and nothing else is there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

PROC = Path("/proc")
_PR_SET_CHILD_SUBREAPER = 36
_KIB = 1024
_PATIENCE = 10.0  # seconds for a killed process to be gone


def adopt_orphans() -> None:
    """Make this process the parent of descendants that lose theirs.

    Raises:
        OSError: the kernel has no such thing.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no subreaper on this system: only Linux has it")


def descendants(root: int, proc: Path = PROC) -> list[int]:
    """Identifiers of all processes below ``root``, without itself; parents before their children."""
    children: dict[int, list[int]] = {}
    for entry in proc.iterdir():
        if entry.name.isdigit() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found = list(children.get(root, []))
    for process in found:  # which grows meanwhile
        found.extend(children.get(process, []))
    return found


def proportional_memory(processes: list[int], proc: Path = PROC) -> int:
    """Bytes that the processes hold together (PSS: a page that n share counts a nth in each)."""
    return sum(_pss(proc / str(process)) for process in processes)


def end(root: int) -> None:
    """Kill every process below ``root``, until none is left, and collect those that are its own children."""
    deadline = time.monotonic() + _PATIENCE
    while (left := descendants(root)) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # a grandchild, for its parent to collect
                os.waitpid(process, os.WNOHANG)
        time.sleep(0.05)


def _parent(entry: Path) -> int | None:
    try:
        status = (entry / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it ended meanwhile
        return None
    return int(status.rpartition(")")[2].split()[1])  # its name, in brackets, may hold anything


def _pss(entry: Path) -> int:
    try:
        lines = (entry / "smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:  # it ended meanwhile, or is ending
        return 0
    return next((_KIB * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
