"""A chain of this process over HTTP, so that hospitals in other processes read the contract for themselves.

Plain JSON-RPC, an allow-list of methods, loopback unless told otherwise. There is no TLS and no credential
in it: beyond one machine it belongs behind a proxy that has both.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from hexbytes import HexBytes

from fedcxr import json_text
from fedcxr.chain.endpoint import connect as connect  # noqa: PLC0414 (its callers look for it here)
from fedcxr.errors import ChainError

logger = logging.getLogger(__name__)
_MAX_BODY = 1 << 20  # bytes; a direct submission is under two thousand
_CALL_GAS = 5_000_000  # of a view; a round's 256 places take a third. More would hold the chain's one lock
SEND_GAS = 5_000_000  # of a transaction from outside; a challenge among 17 hospitals, twenty submissions
_DRAINED = 256  # blocks of 64 KiB that are read and dropped of a request that is too large
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


class Served(Protocol):
    """A chain in this process that strangers may ask."""

    def answer(self, method: str, params: Any) -> dict[str, Any]:
        """``result`` or ``error`` of one request, as a node writes it."""
        ...

    def gas_of(self, transaction: bytes) -> int:
        """The gas that a signed, encoded transaction may use."""
        ...


class Front:
    """Answers for one chain what strangers may ask, whichever way they come."""

    def __init__(self, chain: Served, send_gas: int) -> None:
        """``send_gas`` is what a transaction from outside may use."""
        self._chain = chain
        self._send_gas = send_gas

    def answer(self, method: str, params: list[Any]) -> dict[str, Any]:
        """``result`` or ``error`` of one request, as JSON has it; never raises."""
        if method not in METHODS:
            return _failure(-32601, f"the method {method:.80} is not offered here")
        try:
            self._bound_gas(method, params)
            return self._chain.answer(method, params)
        except Exception as error:
            # Parameters that are none fail anywhere in web3's and eth-tester's formatters.
            logger.debug("%s failed", method, exc_info=True)
            return _failure(-32602, f"{method}: {type(error).__name__}: {error}")

    def _bound_gas(self, method: str, params: list[Any]) -> None:
        """Hold a stranger's call to the gas that the contract's own need.

        Raises:
            ValueError: a transaction wants more.
        """
        if method == "eth_call" and params and isinstance(params[0], dict):
            asked = params[0].get("gas", _CALL_GAS)
            params[0]["gas"] = hex(min(int(asked, 16) if isinstance(asked, str) else int(asked), _CALL_GAS))
        elif method == "eth_sendRawTransaction":
            gas = self._chain.gas_of(HexBytes(params[0]))
            if gas > self._send_gas:
                raise ValueError(f"{gas:,} gas, where {self._send_gas:,} are allowed")


class RpcServer:
    """Answers JSON-RPC for one chain, in threads, until it is closed."""

    def __init__(
        self, chain: Served, host: str = "127.0.0.1", port: int = 0, *, send_gas: int = SEND_GAS
    ) -> None:
        """Start to answer.

        Args:
            chain: that answers.
            host: to listen at.
            port: 0 for any free one.
            send_gas: that a transaction from outside may use.

        Raises:
            ChainError: the address cannot be listened at.
        """
        self.front = Front(chain, send_gas)
        try:
            self._server = _Server((host, port), self.front)
        except OSError as error:
            raise ChainError(f"the ledger cannot listen at {host}:{port}: {error.strerror}.") from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def close(self) -> None:
        """Stop answering, hang up and free the port."""
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], front: Front) -> None:
        super().__init__(address, _Handler)
        self.front = front
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that went away, and nothing else: what a request can do wrong is answered.
        logger.debug("connection from %s ended", client_address, exc_info=True)

    def hang_up(self) -> None:
        """End the connections that clients keep open, so that nobody asks a closed chain."""
        with self._guard:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one write a response
    timeout = 60  # seconds; who sends half a request does not keep a thread for ever

    def do_POST(self) -> None:
        """One JSON-RPC request."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 20):
            self._refuse(411, "a request says its Content-Length")
            return
        if int(length) > _MAX_BODY:
            self._refuse(413, "the request is too large")
            return
        try:
            body = self.rfile.read(int(length))
            request = json_text.parse(body, _MAX_BODY)
            identifier, method, params = request.get("id"), request["method"], request.get("params", [])
        except (ValueError, KeyError, TypeError, AttributeError):
            self._reply(400, _failure(-32700, "not a JSON-RPC request"))
            return
        if not isinstance(method, str) or not isinstance(params, list):
            self._reply(400, _failure(-32600, "a request has a method and a list of params"))
            return
        if not isinstance(identifier, int | str):
            identifier = None
        self._reply(200, {"jsonrpc": "2.0", "id": identifier, **self.server.front.answer(method, params)})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        logger.debug(format, *args)

    def _refuse(self, status: int, message: str) -> None:
        """Answer a request whose body is not read, and hang up."""
        self.close_connection = True
        self._reply(status, _failure(-32600, message))
        self.wfile.flush()
        # A socket closed over unread data resets the connection, and the answer is lost with it.
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1)
        with contextlib.suppress(OSError):
            for _ in range(_DRAINED):
                if not self.connection.recv(1 << 16):
                    break

    def _reply(self, status: int, tree: dict[str, Any]) -> None:
        body = json.dumps(tree).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _failure(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}
