"""An anvil's chain whose run is not going on: another anvil makes it again from a copy of the journal."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from fedcxr import bounded
from fedcxr.indexer.offline import file_mark
from fedcxr.indexer.source import Block, Log

if TYPE_CHECKING:
    from fedcxr.indexer.endpoint import Endpoint


class OfflineAnvil:
    """A source of logs over a journal: a copy of it is made, and an anvil runs over the copy.

    The journal itself is its owner's, and nothing is written to it.
    """

    def __init__(self, path: Path, chain_id: int, binary: str) -> None:
        self._path = path
        self._chain_id = chain_id
        self._binary = binary
        self._stack = contextlib.ExitStack()
        self._endpoint: Endpoint | None = None
        self._mark = ""  # when the copy was made

    def mark(self) -> str:
        """Size and time of the journal: whatever makes a block adds a line."""
        return file_mark(self._path)

    def may_hold(self, address: str) -> bool:
        return self._open().may_hold(address)

    def head(self) -> Block:
        return self._open().head()

    def block(self, number: int) -> Block | None:
        return self._open().block(number)

    def logs(self, addresses: Collection[str], first: int, last: int) -> tuple[list[Log], list[Block]]:
        return self._open().logs(addresses, first, last)

    def call(self, address: str, data: bytes, block: Block) -> bytes:
        return self._open().call(address, data, block)

    def close(self) -> None:
        self._stack.close()
        self._endpoint = None

    def _open(self) -> Endpoint:
        mark = self.mark()
        if self._endpoint is None or mark != self._mark:
            from fedcxr.chain.anvil.chain import AnvilChain
            from fedcxr.chain.anvil.journal import LONGEST
            from fedcxr.chain.anvil.process import find_anvil
            from fedcxr.chain.rpc_server import RpcServer
            from fedcxr.indexer.endpoint import Endpoint

            self.close()
            enter = self._stack.enter_context
            directory = enter(tempfile.TemporaryDirectory(prefix="fedcxr-index-"))
            copy = bounded.copy(self._path, Path(directory) / self._path.name, LONGEST)
            chain = AnvilChain(copy, chain_id=self._chain_id, binary=find_anvil(self._binary))
            front = enter(contextlib.closing(RpcServer(enter(contextlib.closing(chain)))))
            self._endpoint, self._mark = enter(contextlib.closing(Endpoint(front.url))), mark
        return self._endpoint
