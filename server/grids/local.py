"""A Flower grid on this machine: no Ray, no network; one hospital at a time, or as many as there are workers.

A message is handled in this process when its reply is pulled, so that at most one hospital's model and update
are in memory. Workers are given messages ahead, and their replies are pulled in the same order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence

from flwr.app import DEFAULT_TTL, Context, Error, Message, Metadata, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from fedcxr.errors import UnwritableError
from fedcxr.messages import FailureReply, kind_of
from server.grids.workers import Workers

logger = logging.getLogger(__name__)
_RUN = 1
_SERVER = 1


class LocalGrid(Grid):
    """Hospitals 0 … n−1 as nodes 1 … n of one ClientApp."""

    def __init__(
        self,
        client_app: ClientApp | Workers,
        node_configs: Sequence[UserConfig],
        run_config: UserConfig,
    ) -> None:
        self._client_app = client_app
        self._contexts = {
            node: Context(
                run_id=_RUN, node_id=node, node_config=dict(config), state=RecordDict(), run_config=run_config
            )
            for node, config in enumerate(node_configs, start=1)
        }
        self._queue: dict[str, Message] = {}
        self._sent = 0

    def set_run(self, run: Run) -> None:
        """There is one run only."""

    @property
    def run(self) -> Run:
        return Run.create_empty(_RUN)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """A message to one hospital."""
        self._sent += 1
        metadata = Metadata(
            run_id=_RUN,
            message_id=str(self._sent),
            src_node_id=_SERVER,
            dst_node_id=dst_node_id,
            reply_to_message_id="",
            group_id=group_id,
            created_at=time.time(),
            ttl=DEFAULT_TTL if ttl is None else ttl,
            message_type=message_type,
        )
        message: Message = Message(content=content, metadata=metadata)  # type: ignore[call-overload]
        return message

    def get_node_ids(self) -> list[int]:
        """All hospitals: none is ever away."""
        return list(self._contexts)

    def get_nodes(self) -> list[NodeInfo]:
        return [NodeInfo(node_id=node) for node in self._contexts]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Queue messages; they are handled when they are pulled."""
        queued = {message.metadata.message_id: message for message in messages}
        self._queue |= queued
        return list(queued)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Handle the queued messages of these ids, in their order."""
        return [self._handle(i) for i in message_ids if i in self._queue]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Push and pull; the timeout has no meaning here."""
        del timeout
        return self.pull_messages(self.push_messages(messages))

    def _handle(self, identifier: str) -> Message:
        message = self._queue[identifier]
        node = message.metadata.dst_node_id
        reply = self._answer(identifier)
        del self._queue[identifier]
        if reply is None:  # a hospital that crashes is an error reply, as on every other grid
            # Its words are the hospital's, and the log here is the coordinator's.
            logger.error("node %d crashed", node)
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION), reply_to=message)
        if not reply.has_error() and kind_of(reply.content) == FailureReply.kind:
            failure = FailureReply.from_records(reply.content)
            if failure.code == UnwritableError.exit_code:
                # All hospitals share this machine's disk: a federation without this one would be another.
                raise UnwritableError(f"node {node}: its disk is full, read-only or out of reach.")
        return reply

    def _answer(self, identifier: str) -> Message | None:
        """What the hospital of a queued message answers; None where it crashed."""
        if isinstance(self._client_app, Workers):
            return self._client_app.answer(identifier, self._queue, self._contexts)
        message = self._queue[identifier]
        try:
            return self._client_app(message, self._contexts[message.metadata.dst_node_id])
        except Exception:
            return None
