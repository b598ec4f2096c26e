"""Processes of this machine that work for hospitals, several at once.

Which of them does what depends on how fast they are, and nothing else does: a hospital's update follows from
its message, its data and its state alone, and the server takes replies in the order in which it asked.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Self

from flwr.app import Context, Message

from fedcxr.errors import GridError
from server.grids.channel import Channel

_MODELS = 1  # that stay in shared memory: the round's base, which every hospital gets
_LONGEST = 1_000  # characters of what a worker said last


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    channel: Channel
    said: IO[bytes]
    ready: bool = False
    busy: str = ""  # identifier of the message that it works on

    def last_words(self) -> str:
        """The last line that it wrote on its standard error."""
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:_LONGEST] if lines else "it said nothing"


class Workers:
    """A fixed number of processes, each of which answers one message at a time.

    Another one takes the place of a worker that dies, and does once more what that one was doing: it may have
    been killed for want of memory. A message that a second worker dies of is not answered.
    """

    def __init__(self, count: int, app: str) -> None:
        """Start them; they load what they need while the caller goes on.

        Args:
            count: of processes.
            app: reference of the ClientApp, ``module:name``.
        """
        self._app = app
        self._life, self._held = os.pipe()
        self._workers: list[_Worker] = []
        self._done: dict[str, Message | None] = {}
        self._tried: set[str] = set()  # messages that a worker died of
        try:
            for _ in range(count):
                self._workers.append(self._start())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End them, whatever they do."""
        for worker in self._workers:
            self._end(worker)
        self._workers.clear()
        self._done.clear()
        for descriptor in (self._life, self._held):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def answer(
        self, identifier: str, queue: Mapping[str, Message], contexts: Mapping[int, Context]
    ) -> Message | None:
        """The reply to a queued message; the others of the queue are worked on meanwhile, in its order.

        At most as many replies as there are workers wait here to be taken.

        Args:
            identifier: of the message.
            queue: messages that were not taken yet, by identifier.
            contexts: by node.

        Returns:
            None where the app raised, or two workers died of it.

        Raises:
            GridError: workers cannot be started.
        """
        while identifier not in self._done:
            self._hand_out(identifier, queue, contexts)
            self._wait()
        self._hand_out(identifier, queue, contexts)
        return self._done.pop(identifier)

    def _hand_out(self, first: str, queue: Mapping[str, Message], contexts: Mapping[int, Context]) -> None:
        """Give each idle worker the next message that nobody has."""
        taken = {worker.busy for worker in self._workers} | self._done.keys()
        waiting = iter([first, *(other for other in queue if other != first)])
        for worker in self._workers:
            if worker.busy or not worker.ready:
                continue
            identifier = next((one for one in waiting if one not in taken), None)
            if identifier is None or (len(self._done) >= len(self._workers) and identifier != first):
                return
            message = queue[identifier]
            worker.busy = identifier
            with contextlib.suppress(OSError):  # it is dead, which shows when its answer is waited for
                worker.channel.send((message, contexts[message.metadata.dst_node_id]))

    def _wait(self) -> None:
        """Take what the next workers say that say anything."""
        expected = [worker for worker in self._workers if worker.busy or not worker.ready]
        speaking, _, _ = select.select([worker.channel for worker in expected], [], [])
        for worker in expected:
            if worker.channel in speaking:
                self._take(worker)

    def _take(self, worker: _Worker) -> None:
        try:
            said = worker.channel.receive()
        except EOFError:
            self._replace(worker)
            return
        if worker.busy:
            self._done[worker.busy] = said
        worker.ready, worker.busy = True, ""

    def _replace(self, worker: _Worker) -> None:
        """Start another one in place of one that died."""
        status, words = worker.process.wait(), worker.last_words()
        self._end(worker)
        if not worker.ready:
            raise GridError(f"a worker of the simulation ended with {status} before it began: {words}")
        if worker.busy in self._tried:
            self._done[worker.busy] = None
        self._tried.add(worker.busy)
        self._workers[self._workers.index(worker)] = self._start()

    def _start(self) -> _Worker:
        ours, theirs = socket.socketpair()
        said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (it is closed with the worker)
        with theirs:
            descriptors = [theirs.fileno(), self._life]
            process = subprocess.Popen(
                [sys.executable, "-m", "server.grids.worker", *map(str, descriptors), self._app],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                process_group=0,  # Ctrl-C is for the parent, which ends them
            )
        return _Worker(process, Channel(ours, placed=_MODELS), said)

    @staticmethod
    def _end(worker: _Worker) -> None:
        worker.process.kill()
        worker.process.wait()
        worker.channel.close()
        worker.said.close()
