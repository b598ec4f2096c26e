"""An HTTP proxy in front of a chain that fails as real ones do, when it is told to."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal["late", "500", "half", "hangs up", "hangs up after", "empty", "page", "429", "404"]
"""How one request fails; after ``half``, ``hangs up after`` and ``late`` the chain has heard of it."""


class FaultyProxy:
    """Forwards JSON-RPC to ``url``; ``plan`` says which requests fail and how."""

    def __init__(self, url: str) -> None:
        self.upstream = url
        self.asked: Counter[str] = Counter()  # requests by method, failed ones included
        self.change: Callable[[str, Any], Any] = lambda method, answer: answer
        self._faults: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def plan(self, *faults: Fault, method: str = "") -> None:
        """Fail the next requests of a method, or of any, one after the other."""
        with self._lock:
            self._faults += [(method, fault) for fault in faults]

    @property
    def planned(self) -> int:
        """Faults that have not happened yet."""
        return len(self._faults)

    def next_fault(self, method: str) -> Fault | None:
        with self._lock:
            self.asked[method] += 1
            for index, (wanted, fault) in enumerate(self._faults):
                if wanted in ("", method):
                    del self._faults[index]
                    return fault
        return None

    def forward(self, body: bytes) -> bytes:
        request = urllib.request.Request(self.upstream, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()  # type: ignore[no-any-return]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes, of which the second would wait

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            method = json.loads(body)["method"]
            fault = proxy.next_fault(method)
            if fault == "hangs up":
                self._hang_up()
            elif fault in ("500", "429", "404"):
                self._reply(b"no", int(fault))
            elif fault == "empty":
                self._reply(b"", 200)
            elif fault == "page":
                self._reply(b"<html>maintenance</html>", 200)
            else:
                answer = json.dumps(proxy.change(method, json.loads(proxy.forward(body)))).encode()
                if fault == "hangs up after":
                    self._hang_up()
                elif fault == "half":
                    self._reply(answer[: len(answer) // 2], 200)
                else:
                    if fault == "late":
                        time.sleep(1.0)
                    self._reply(answer, 200)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def _hang_up(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def _reply(self, body: bytes, status: int) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # who asked has given up

    return Handler
