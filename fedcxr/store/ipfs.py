"""IPFS as a file system: the mutable files of a Kubo node, through its RPC.

``ipfs://HOST:PORT/FOLDER`` is a folder in the node's own tree. Blobs keep the names that the ledger has; the
node finds and replicates their contents under IPFS's own hashes. An RPC port is its owner's: it belongs on
127.0.0.1, or behind a proxy that knows its callers.
https://docs.ipfs.tech/reference/kubo/rpc/
"""

from __future__ import annotations

import io
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from uuid import uuid4

from fsspec.spec import AbstractFileSystem

from fedcxr import json_text

_TIMEOUT = 60.0  # seconds for one call
_FOLDER = "directory"
_LONGEST = 1 << 26  # bytes of an answer that is no blob: the longest lists a folder of some 500,000 files
_SENTENCE = 1 << 12  # bytes of an error


class IpfsFiles(AbstractFileSystem):
    """The part of fsspec that a store of whole blobs wants: no appending, no reading of parts."""

    protocol = "ipfs"
    cachable = False

    def __init__(self, host: str = "127.0.0.1:5001", **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._host = host

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        bare = path.removeprefix("ipfs://")
        host, slash, rest = bare.partition("/")
        return f"/{rest}".rstrip("/") if slash and ":" in host else bare.rstrip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        return {"host": path.removeprefix("ipfs://").partition("/")[0]}

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """The name, size and type of a file; raises FileNotFoundError."""
        found = json_text.parse(self._call("stat", path))
        kind = "directory" if found["Type"] == _FOLDER else "file"
        return {"name": path, "size": found["Size"], "type": kind}

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """List the content of a folder."""
        listed = json_text.parse(self._call("ls", path, long="true"), _LONGEST)["Entries"] or []
        found = [
            {
                "name": f"{path.rstrip('/')}/{entry['Name']}",
                "size": entry["Size"],
                "type": "directory" if entry["Type"] == 1 else "file",
            }
            for entry in listed
        ]
        return found if detail else [entry["name"] for entry in found]

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder and those above it."""
        del exist_ok  # Kubo's `parents` says so of all of them
        self._call("mkdir", path, parents="true")

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        """Read a file's content, or the part of it from ``start`` to before ``end``, both from its begin."""
        offset = str(start or 0)
        if end is None:
            return self._call("read", path, longest=None, offset=offset)
        wanted = max(end - (start or 0), 0)
        return self._call("read", path, longest=wanted, offset=offset, count=str(wanted))[:wanted]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        """Write a file; other readers may see it grow, so a store renames it when it is whole."""
        del mode
        self._call("write", path, value, create="true", truncate="true", parents="true", flush="true")

    def mv(
        self, path1: str, path2: str, recursive: bool = False, maxdepth: int | None = None, **options: Any
    ) -> None:
        """Rename a file; one that has the new name already is replaced."""
        try:
            self._call("mv", path1, to=path2)
        except OSError:
            if not self.exists(path2):  # type: ignore[no-untyped-call]
                raise
            self.rm_file(path1)  # another process was faster with the same bytes

    def rm_file(self, path: str) -> None:
        """Remove a file; raises FileNotFoundError."""
        self._call("rm", path)

    def _open(self, path: str, mode: str = "rb", *arguments: Any, **options: Any) -> io.BytesIO:
        if mode != "rb":
            raise NotImplementedError("files on IPFS are written whole: pipe_file.")
        return io.BytesIO(self.cat_file(path))

    def _call(
        self,
        verb: str,
        path: str,
        body: bytes | None = None,
        to: str = "",
        longest: int | None = _LONGEST,
        **options: str,
    ) -> bytes:
        """One call; of its answer no more than ``longest`` bytes are taken, and one that says too much."""
        arguments = [("arg", path), *([("arg", to)] if to else []), *options.items()]
        url = f"http://{self._host}/api/v0/files/{verb}?{urlencode(arguments)}"
        request = Request(url, data=b"", method="POST")
        if body is not None:
            boundary = uuid4().hex
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="blob"\r\n\r\n'
            request.data = head.encode() + body + f"\r\n--{boundary}--\r\n".encode()
            request.add_header("Content-Type", f"multipart/form-data; boundary={boundary}")
        try:
            with urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310 (http is what the RPC speaks)
                data: bytes = answer.read() if longest is None else answer.read(longest + 1)
        except HTTPError as error:
            said = error.read(_SENTENCE).decode("utf-8", "replace")
            if "does not exist" in said:
                raise FileNotFoundError(f"{path}: {said}") from None
            raise OSError(f"{self._host}: {verb} {path}: {said.strip()[:200]}") from None
        if longest is not None and len(data) > longest and verb != "read":
            raise OSError(f"{self._host}: {verb} {path}: an answer of more than {longest:,} bytes")
        return data
