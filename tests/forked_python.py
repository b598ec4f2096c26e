"""A ``python`` that has imported everything already, for what starts ``python -m fedcxr`` many times.

Its processes are forked from one that has made the imports, as in :mod:`forked_cli`, and run side by side.
The executable hands its arguments, its environment and its open files over, and ends as the fork does.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from forked_cli import exit_code, import_everything

EXECUTABLE = """#!{python} -IS
import json, os, socket, sys
asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as caller:
    caller.connect("\\0{name}")
    socket.send_fds(caller, [len(asked).to_bytes(8, "big")], [0, 1, 2])
    caller.sendall(asked)
    sys.exit(int(caller.recv(16) or 1))
"""


class ForkedPython:
    """The executable, and the process that its processes are forked from.

    Attributes:
        executable: takes ``-m fedcxr ARGUMENTS``.
    """

    def __init__(self, place: Path) -> None:
        name = f"fedcxr-tests-{os.getpid()}-{id(self)}"
        self.executable = place / "python"
        self.executable.write_text(EXECUTABLE.format(python=sys.executable, name=name))
        self.executable.chmod(0o700)
        self._process = subprocess.Popen(
            [sys.executable, __file__, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def close(self) -> None:
        self._process.communicate()


def become(caller: socket.socket) -> NoReturn:
    """In the child: the process that the executable was started for."""
    size, files, _, _ = socket.recv_fds(caller, 8, 3)
    with caller.makefile("rb") as rest:
        arguments, folder, environment = json.loads(rest.read(int.from_bytes(size, "big")))
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, "w" if n else "r", closefd=False) for n in range(3))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    assert arguments[:2] == ["-m", "fedcxr"]
    code = exit_code(arguments[2:])
    caller.sendall(str(code).encode())
    os._exit(code)


def serve(name: str) -> None:
    import_everything()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            if sys.stdin in select.select([listener, sys.stdin], [], [])[0]:
                return  # its owner has closed it, or is dead
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            caller, _ = listener.accept()
            with caller:
                if os.fork() == 0:
                    become(caller)


if __name__ == "__main__":
    serve(sys.argv[1])
