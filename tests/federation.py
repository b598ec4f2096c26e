"""A federation in this process, with a place to put an attack: replies pass through a function."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest.mock import patch

from flwr.app import Message, UserConfig

from clients.app import app as client_app
from fedcxr.config import Config
from fedcxr.messages import UpdateReply, kind_of
from fedcxr.round_lines import read_rounds
from fedcxr.run.preparation import make_evaluator, open_or_create, prepare_simulation
from fedcxr.store.run_directory import RunDirectory
from server.app import coordinate
from server.events import Event
from server.grids.local import LocalGrid

Tamper = Callable[[str, UpdateReply], UpdateReply | Message | None]  # hospital's name, its reply


class AttackedGrid(LocalGrid):
    """A local grid on which update replies pass through ``tamper``; None loses the reply."""

    def __init__(self, *args: object, names: list[str], tamper: Tamper | None, backwards: bool) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.names = names
        self.tamper = tamper
        self.backwards = backwards
        self.nodes: dict[str, str] = {}

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        messages = list(messages)
        self.nodes |= {m.metadata.message_id: self.names[m.metadata.dst_node_id - 1] for m in messages}
        identifiers = super().push_messages(messages)
        return identifiers[::-1] if self.backwards else identifiers

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        replies = []
        for message in super().pull_messages(message_ids):
            if self.tamper is None or message.has_error() or kind_of(message.content) != UpdateReply.kind:
                replies.append(message)
                continue
            name = self.nodes[message.metadata.reply_to_message_id]
            changed = self.tamper(name, UpdateReply.from_records(message.content))
            if isinstance(changed, UpdateReply):
                message.content = changed.to_records()
                replies.append(message)
            elif changed is not None:
                replies.append(changed)
        return replies


class ImpatientClock:
    """The server's clock while it waits: hospitals answer at once here, or never, so no wait is long."""

    def __init__(self) -> None:
        self._slept = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._slept

    def sleep(self, seconds: float) -> None:
        self._slept += max(seconds, 1.0)


class Recorder:
    """An observer that keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def run_federation(
    config: Config,
    out: Path,
    *,
    tamper: Tamper | None = None,
    backwards: bool = False,
    observer: Callable[[Event], None] | None = None,
    client: object = client_app,
    evaluated: bool = False,
    come: int | None = None,
    grid_kind: Callable[..., LocalGrid] = AttackedGrid,
) -> RunDirectory:
    """Run a federation to its end in this process; ``come``: only so many of the partition's hospitals do."""
    run = open_or_create(out, config)
    partition = prepare_simulation(run, lambda what, done, total: None)
    names = list(partition.names)[:come]
    run_config: UserConfig = {"run": str(run.root)}
    nodes: list[UserConfig] = [{"partition-id": i} for i in range(len(names))]
    grid = grid_kind(client, nodes, run_config, names=names, tamper=tamper, backwards=backwards)
    evaluate = make_evaluator(run) if evaluated else None
    with patch("server.registration.time", ImpatientClock()):
        coordinate(grid, run, len(names), observer or Recorder(), evaluate)
    return run


def digests(run: RunDirectory) -> list[str]:
    """The model digest of every finalized round."""
    return [line.model for line in read_rounds(run)]
