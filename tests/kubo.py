"""What of a Kubo node's RPC a store speaks to: mutable files, in this process's memory.

Written from https://docs.ipfs.tech/reference/kubo/rpc/, with Kubo's own words for its errors. No node is
among the packages that the tests may install; this one holds the driver to the protocol, not to the program.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Kubo(ThreadingHTTPServer):
    """Files by their path; a folder is there when something lies below it, or it was made."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.folders = {""}
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def add_folders(self, path: str) -> None:
        """Those above a path."""
        while path := path.rpartition("/")[0]:
            self.folders.add(path)


class _RefusedError(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    server: Kubo

    def do_POST(self) -> None:
        split = urlsplit(self.path)
        query = parse_qs(split.query, keep_blank_values=True)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        verb = split.path.removeprefix("/api/v0/files/")
        try:
            with self.server.lock:
                answer = getattr(self, f"_{verb}")(query["arg"], body)
            status = 200
        except _RefusedError as refusal:
            answer = json.dumps({"Message": str(refusal), "Code": 0, "Type": "error"}).encode()
            status = 500
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""

    def _file(self, path: str) -> bytes:
        if path not in self.server.files:
            raise _RefusedError("file does not exist")
        return self.server.files[path]

    def _stat(self, paths: list[str], body: bytes) -> bytes:
        if paths[0] in self.server.folders:
            return json.dumps({"Hash": "", "Size": 0, "Type": "directory"}).encode()
        return json.dumps({"Hash": "", "Size": len(self._file(paths[0])), "Type": "file"}).encode()

    def _ls(self, paths: list[str], body: bytes) -> bytes:
        if paths[0] not in self.server.folders:
            raise _RefusedError("file does not exist")
        below = paths[0] + "/"
        entries = [
            {"Name": path.removeprefix(below), "Type": kind, "Size": size, "Hash": ""}
            for kind, sizes in (
                (0, {path: len(data) for path, data in self.server.files.items()}),
                (1, dict.fromkeys(self.server.folders, 0)),
            )
            for path, size in sizes.items()
            if path.startswith(below) and "/" not in path.removeprefix(below)
        ]
        return json.dumps({"Entries": entries or None}).encode()

    def _mkdir(self, paths: list[str], body: bytes) -> bytes:
        self.server.add_folders(paths[0] + "/")
        return b""

    def _write(self, paths: list[str], body: bytes) -> bytes:
        boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
        content = body.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--" + boundary + b"--")[0]
        self.server.add_folders(paths[0])
        self.server.files[paths[0]] = content
        return b""

    def _read(self, paths: list[str], body: bytes) -> bytes:
        return self._file(paths[0])

    def _mv(self, paths: list[str], body: bytes) -> bytes:
        if paths[1] in self.server.files:
            raise _RefusedError("directory already has entry by that name")
        self.server.files[paths[1]] = self._file(paths[0])
        del self.server.files[paths[0]]
        return b""

    def _rm(self, paths: list[str], body: bytes) -> bytes:
        self._file(paths[0])
        del self.server.files[paths[0]]
        return b""
