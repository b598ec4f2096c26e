"""The command line in processes that may be killed, each forked from one that has imported everything.

Run as a program it reads a JSON line for each command, ``{"arguments": […], "log": PATH, "point": {…},
"halts": {…}}``, forks, runs ``fedcxr ARGUMENTS`` in the child, which kills itself at the crash point, and
answers with a line: the child's exit status, negative for a signal. The imports are most of what a command of
seconds costs.

``{"points": [{…}], "folder": PATH, "copies": PATH}`` are the halts: at each of these points the child stops,
every thread of it, the folder is copied below ``copies`` under the point's name, and the child goes on. A
copy is what a kill at that moment leaves: what was written, and nothing that the process still held.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from crash_points import CrashPoint, Halt, Trap


@dataclass(frozen=True)
class Halts:
    """Where a command stops for a copy of a folder.

    Attributes:
        points: where.
        folder: to copy.
        copies: where the copies go, each under the name of its point.
    """

    points: Sequence[CrashPoint]
    folder: Path
    copies: Path


class ForkedCli:
    """Runs commands, one at a time."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.log = logs / "none"
        self._count = 0

    def run(self, *arguments: str | Path, point: CrashPoint | None = None, halts: Halts | None = None) -> int:
        """The exit code of ``fedcxr ARGUMENTS``; −9 when it was killed at the point."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._count += 1
        self.log = self._logs / f"{self._count}.log"
        asked = {
            "arguments": [str(a) for a in arguments],
            "log": str(self.log),
            "point": None if point is None else asdict(point),
            "halts": None if halts is None else asdict(halts),
        }
        self._process.stdin.write(json.dumps(asked, default=str) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    @property
    def said(self) -> str:
        """What the last command printed."""
        return self.log.read_text()

    def close(self) -> None:
        self._process.communicate()


def run(
    arguments: Sequence[str], log: str, point: dict[str, Any] | None, halts: dict[str, Any] | None
) -> NoReturn:
    """In the child: one command, from its arguments to its exit code."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    if point is not None:
        Trap(CrashPoint(**point)).set()
    if halts is not None:
        for each in halts["points"]:
            Halt(CrashPoint(**each), told(halts)).set()
    os._exit(exit_code(arguments))


def exit_code(arguments: Sequence[str]) -> int:
    """Run ``fedcxr ARGUMENTS`` in this process."""
    from fedcxr.cli import main

    sys.argv = ["fedcxr", *arguments]
    code: object = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else 0 if code is None else 1


def told(halts: dict[str, Any]) -> Path:
    """The file that names the point at which a child stands."""
    return Path(halts["copies"]) / "told"


def end_of(child: int, halts: dict[str, Any] | None) -> int:
    """Wait for a child's end; its exit status. Where it stops, the folder is copied."""
    while True:
        status = os.waitpid(child, os.WUNTRACED if halts else 0)[1]
        if halts is None or not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        shutil.copytree(halts["folder"], told(halts).with_name(told(halts).read_text()))
        os.kill(child, signal.SIGCONT)


def import_everything() -> None:
    """Import what a command may need, and have no picture drawn."""
    import matplotlib.figure
    import torch.optim.adam  # noqa: F401
    import web3  # noqa: F401

    import server.grids.simulation  # noqa: F401

    # Drawing is a quarter of a short run; here a picture only has to come whole or not at all.
    matplotlib.figure.Figure.savefig = lambda self, file, **options: file.write(b"a picture")  # type: ignore
    gc.collect()
    gc.set_threshold(20_000, 20, 20)
    gc.freeze()  # no child's collector touches, and so copies, the pages of what was imported


def serve() -> None:
    import_everything()
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            run(**asked)
        sys.stdout.write(f"{end_of(child, asked['halts'])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
