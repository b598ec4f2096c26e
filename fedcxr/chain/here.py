"""Chains that this process itself shows at a URL: who asks there from within is answered without a socket.

The hospitals of a simulation share the coordinator's process. They ask the same endpoint, by the same URL and
under the same rules, as hospitals elsewhere; only the way there is shorter.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, Protocol, cast

from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse


class Front(Protocol):
    """What answers for a chain, with the rules that it has for strangers."""

    def answer(self, method: str, params: list[Any]) -> dict[str, Any]:
        """``result`` or ``error`` of one request, as JSON has it; never raises."""
        ...


_fronts: dict[str, Front] = {}


@contextlib.contextmanager
def shown_here(url: str, front: Front) -> Iterator[None]:
    """Let this process find the front of a URL by itself, while the context lasts."""
    _fronts[url] = front
    try:
        yield
    finally:
        del _fronts[url]


def is_shown_here(url: str) -> bool:
    """Whether the endpoint at a URL is this process's own."""
    return url in _fronts


class HereProvider(JSONBaseProvider):
    """Asks an endpoint of this process."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """One request, whose parameters are what a socket would have carried.

        Raises:
            ConnectionError: the chain is closed.
        """
        request = json.loads(self.encode_rpc_request(method, params))
        if (front := _fronts.get(self.url)) is None:
            raise ConnectionError(f"{self.url}: {method}: the chain is closed")
        answer = front.answer(method, request["params"])
        return cast(RPCResponse, {"jsonrpc": "2.0", "id": request["id"], **answer})
