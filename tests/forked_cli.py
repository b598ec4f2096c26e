"""The command line in processes that may be killed, each forked from one that has imported everything.

Run as a program it reads a JSON line for each command, ``{"arguments": […], "log": PATH, "point": {…}}``,
forks, runs ``fedcxr ARGUMENTS`` in the child, which kills itself at the crash point, and answers with a line:
the child's exit status, negative for a signal. The imports are most of what a command of seconds costs.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from crash_points import CrashPoint, Trap


class ForkedCli:
    """Runs commands, one at a time."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.log = logs / "none"
        self._count = 0

    def run(self, *arguments: str | Path, point: CrashPoint | None = None) -> int:
        """The exit code of ``fedcxr ARGUMENTS``; −9 when it was killed at the point."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._count += 1
        self.log = self._logs / f"{self._count}.log"
        asked = {
            "arguments": [str(a) for a in arguments],
            "log": str(self.log),
            "point": None if point is None else asdict(point),
        }
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    @property
    def said(self) -> str:
        """What the last command printed."""
        return self.log.read_text()

    def close(self) -> None:
        self._process.communicate()


def run(arguments: Sequence[str], log: str, point: dict[str, Any] | None) -> NoReturn:
    """In the child: one command, from its arguments to its exit code."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    from fedcxr.cli import main

    if point is not None:
        Trap(CrashPoint(**point)).set()
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
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def serve() -> None:
    import matplotlib.figure
    import torch.optim.adam  # noqa: F401
    import web3  # noqa: F401

    import server.grids.simulation  # noqa: F401

    # Drawing is a quarter of a short run; here a picture only has to come whole or not at all.
    matplotlib.figure.Figure.savefig = lambda self, file, **options: file.write(b"a picture")  # type: ignore
    gc.collect()
    gc.freeze()  # no child's collector touches, and so copies, the pages of what was imported
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            run(**asked)
        status = os.waitpid(child, 0)[1]
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
