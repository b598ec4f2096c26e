"""The embedded chain over HTTP, so that hospitals in other processes read the contract for themselves.

Plain JSON-RPC, an allow-list of methods, loopback unless told otherwise. There is no TLS and no credential
in it: beyond one machine it belongs behind a proxy that has both.
"""

from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hexbytes import HexBytes
from web3 import HTTPProvider, Web3
from web3.datastructures import AttributeDict
from web3.types import RPCEndpoint

from fedcxr.errors import ChainError
from fedcxr.ledger.chain import EmbeddedChain

logger = logging.getLogger(__name__)
_MAX_BODY = 1 << 20  # bytes; a direct submission is under two thousand
METHODS = frozenset(
    {
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_getBalance",
        "eth_getBlockByHash",
        "eth_getBlockByNumber",
        "eth_getCode",
        "eth_getLogs",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "eth_sendRawTransaction",
        "net_version",
        "web3_clientVersion",
    }
)


class RpcServer:
    """Answers JSON-RPC for one chain, in threads, until it is closed."""

    def __init__(self, chain: EmbeddedChain, host: str = "127.0.0.1", port: int = 0) -> None:
        """Start to answer.

        Args:
            chain: whose lock serialises the answers.
            host: to listen at.
            port: 0 for any free one.

        Raises:
            ChainError: the address cannot be listened at.
        """
        try:
            self._server = _Server((host, port), _Handler)
        except OSError as error:
            raise ChainError(f"the ledger cannot listen at {host}:{port}: {error.strerror}.") from None
        self._server.chain = chain
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def connect(url: str) -> Web3:
    """A connection to a chain's JSON-RPC endpoint.

    Raises:
        ChainError: nothing answers there.
    """
    w3 = Web3(HTTPProvider(url, request_kwargs={"timeout": 30}))
    if not w3.is_connected():
        raise ChainError(f"{url}: no chain answers there.")
    return w3


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    chain: EmbeddedChain


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one write a response

    def do_POST(self) -> None:
        """One JSON-RPC request."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MAX_BODY:
            self.close_connection = True
            self._reply(413, {"error": {"code": -32600, "message": "the request is too large"}})
            return
        try:
            request = json.loads(self.rfile.read(length))
            identifier, method, params = request.get("id"), request["method"], request.get("params", [])
        except (ValueError, KeyError, TypeError, AttributeError):
            self._reply(400, {"error": {"code": -32700, "message": "not a JSON-RPC request"}})
            return
        self._reply(200, {"jsonrpc": "2.0", "id": identifier, **self._answer(method, params)})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        logger.debug(format, *args)

    def _answer(self, method: str, params: Any) -> dict[str, Any]:
        if method not in METHODS:
            return {"error": {"code": -32601, "message": f"the method {method} is not offered here"}}
        try:
            # Through web3's own middleware, which turns eth-tester's names and numbers into those of a node.
            w3 = self.server.chain.w3
            with self.server.chain.lock:
                send = self.server.chain.provider.request_func(w3, w3.middleware_onion)
                response = send(RPCEndpoint(method), params)
        except Exception as error:
            logger.exception("%s failed", method)
            return {"error": {"code": -32603, "message": f"{type(error).__name__}: {error}"}}
        if "error" in response:
            return {"error": response["error"]}
        return {"result": _plain(response.get("result"))}

    def _reply(self, status: int, tree: dict[str, Any]) -> None:
        body = json.dumps(tree).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _plain(value: Any) -> Any:
    """A result as a node writes it: quantities and bytes in hexadecimal."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, bytes | HexBytes):
        return "0x" + bytes(value).hex()
    if isinstance(value, dict | AttributeDict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value]
