"""Who makes a federation's first model for an audit: a process beside it, or the audit's own.

An audit has no use for torch but for this, and torch with timm takes seconds to load. So a process of its own
loads them while the audit reads the ledger and its workers hash, and makes the model then. Its memory and its
time have bounds, for the configuration is others'. Where what it would load is loaded already, as in a
notebook that trains, nothing is gained by a process, and the model is made here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import AbstractContextManager, suppress
from io import BufferedIOBase
from typing import Protocol, cast

from fedcxr.audit.model_order import MadeModel, Order, made_from, order_to_bytes
from fedcxr.errors import FedcxrError, ModelError

PATIENCE = 1800.0
"""Seconds that the process may take by the clock; by the processor's it has
:data:`fedcxr.audit.model_process.LONGEST_WORK`."""

_MAKES = "fedcxr.training.first_model"  # what takes seconds to load
_START = "import sys; sys.path[:] = sys.argv[1:]; from fedcxr.audit.model_process import main; main()"


class Making(Protocol):
    """A first model in the making."""

    def result(self) -> MadeModel:
        """Wait for it.

        Raises:
            FedcxrError: it cannot be made from this configuration and these weights.
            OSError, RuntimeError: it cannot be made here.
        """
        ...


class ModelMaker(AbstractContextManager["ModelMaker"]):
    """Makes a first model; whatever process it has ends with the context."""

    def __init__(self) -> None:
        self._process: _Process | None = None

    def prepare(self) -> None:
        """Have loaded what it takes, beside whatever the caller does."""
        if self._process is None and _MAKES not in sys.modules and sys.executable:
            with suppress(OSError):  # no process is to be had
                self._process = _Process()

    def make(self, order: Order) -> Making:
        """Begin with a model, one in this maker's life; where it is made in this process, it is done then."""
        self.prepare()
        if self._process is None:
            return _Here(order)
        self._process.send(order)
        return self._process

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.end()


class _Here:
    """A model that is made in this process, at once; a failure is told when it is asked for."""

    def __init__(self, order: Order) -> None:
        from fedcxr.audit.model_process import make

        self._made: MadeModel | Exception
        try:
            self._made = make(order)
        except (FedcxrError, OSError, RuntimeError) as error:
            self._made = error

    def result(self) -> MadeModel:
        if isinstance(self._made, Exception):
            raise self._made
        return self._made


class _Process:
    """A model that a process makes: :mod:`fedcxr.audit.model_process`."""

    def __init__(self) -> None:
        # It finds modules where this process does, and nowhere else.
        command = [sys.executable, "-P", "-c", _START, *map(os.path.abspath, sys.path)]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._sender: threading.Thread | None = None
        self._timer = threading.Timer(PATIENCE, self._child.kill)
        self._timer.daemon = True
        self._timer.start()

    def send(self, order: Order) -> None:
        """Hand over what is to be made; the process reads it when it has loaded what it takes."""
        self._sender = threading.Thread(target=self._send, args=(order,), daemon=True)
        self._sender.start()

    def _send(self, order: Order) -> None:
        there = cast(BufferedIOBase, self._child.stdin)
        with suppress(OSError, ValueError), there:  # whoever waits for the result is told
            there.write(order_to_bytes(order))

    def result(self) -> MadeModel:
        try:
            made = made_from(cast(BufferedIOBase, self._child.stdout))
        except EOFError:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(5)
            self.end()
            raise ModelError(
                f"the process that makes it ended with {self._child.returncode}: the configuration's model "
                "takes more memory or time than it may, or more than there is."
            ) from None
        self.end()
        return made

    def end(self) -> None:
        """End the process, whatever it does."""
        self._timer.cancel()
        self._child.kill()
        self._child.wait()
        if self._sender is not None:
            self._sender.join()
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()
