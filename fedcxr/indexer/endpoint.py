"""A chain behind a JSON-RPC endpoint, asked with the standard library alone."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote, urlsplit

from fedcxr import json_text
from fedcxr.errors import ChainError
from fedcxr.indexer.source import Block, Log, MovedError, RefusedError

_TIMEOUT = 30.0  # seconds
_TRIES = 3
_SENTENCE = 300  # characters
_LARGEST = 1 << 26  # bytes of an answer; the events of 5,000 blocks of 256 hospitals have a tenth
_PATIENCE = 300.0  # seconds for one answer, however slowly it drips


class Endpoint:
    """One connection, kept open."""

    def __init__(self, url: str, *, timeout: float = _TIMEOUT, tries: int = _TRIES) -> None:
        """Remember where; nothing is asked yet.

        Raises:
            ChainError: not an address over HTTP.
        """
        try:
            self._parts = urlsplit(url)
            port = self._parts.port
        except ValueError as error:
            raise ChainError(f"{url}: {error}.") from None
        if self._parts.scheme not in ("http", "https") or not self._parts.hostname:
            raise ChainError(f"{url}: a JSON-RPC endpoint begins with http:// or https://.")
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(self._parts.hostname, port, timeout=timeout)
        # A URL may carry a password or a token: messages name the host alone.
        self.name = f"{self._parts.scheme}://{self._parts.hostname}{f':{port}' if port else ''}"
        self._tries = tries

    def ask(self, method: str, *params: Any) -> Any:
        """The result of one request.

        Raises:
            RefusedError: an error was answered.
            ChainError: nothing was answered, or nothing that is JSON-RPC, at several tries.
        """
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        for attempt in range(self._tries):
            try:
                answer = json_text.parse(self._post(body), _LARGEST)
                if not isinstance(answer, dict) or not ("result" in answer or "error" in answer):
                    raise ValueError("not an answer of JSON-RPC")  # noqa: TRY301
                break
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._connection.close()
                if attempt + 1 == self._tries:
                    why = str(error) or type(error).__name__
                    raise ChainError(f"{self.name}: no chain answers there: {why}.") from None
                time.sleep(0.2 * 2**attempt)
        if (refusal := answer.get("error")) is not None:
            message = str(refusal.get("message", refusal) if isinstance(refusal, dict) else refusal)
            # A stranger's words go to a terminal, and are no longer than a sentence.
            shown = "".join(c if c.isprintable() else " " for c in message[:_SENTENCE])
            raise RefusedError(f"{self.name}, {method}: {shown}")
        return answer["result"]

    def chain_id(self) -> int:
        return self._number("eth_chainId", self.ask("eth_chainId"))

    def may_hold(self, address: str) -> bool:
        return len(str(self.ask("eth_getCode", address, "latest"))) > 2

    def mark(self) -> str:
        return self.head().hash.hex()

    def head(self) -> Block:
        found = self._block("latest")
        if found is None:
            raise ChainError(f"{self.name}: the chain has no latest block.")
        return found

    def block(self, number: int) -> Block | None:
        return self._block(hex(number))

    def logs(self, addresses: Collection[str], first: int, last: int) -> tuple[list[Log], list[Block]]:
        wanted = {"address": list(addresses), "fromBlock": hex(first), "toBlock": hex(last)}
        found = self.ask("eth_getLogs", wanted)
        logs: list[Log] = []
        blocks: dict[int, bytes] = {}
        times: dict[int, int] = {}
        try:
            for entry in found:
                number, digest = _whole(entry["blockNumber"]), _bytes(entry["blockHash"])
                if not first <= number <= last:
                    raise ValueError(f"block {number}, where {first} to {last} were asked for")  # noqa: TRY301
                logs.append(
                    Log(
                        topics=tuple(map(_bytes, entry["topics"])),
                        data=_bytes(entry["data"]),
                        block=number,
                        position=_whole(entry["logIndex"]),
                        transaction=_bytes(entry["transactionHash"]),
                    )
                )
                if blocks.setdefault(number, digest) != digest:
                    raise MovedError
                if "blockTimestamp" in entry:  # newer nodes spare us a question a block
                    times[number] = _whole(entry["blockTimestamp"])
        except (KeyError, TypeError, ValueError) as error:
            raise ChainError(f"{self.name}: eth_getLogs answers what is no log: {error!r}.") from None
        logs.sort(key=lambda log: (log.block, log.position))
        return logs, [
            Block(number, digest, times[number]) if number in times else self._expected(number, digest)
            for number, digest in sorted(blocks.items())
        ]

    def call(self, address: str, data: bytes, block: Block) -> bytes:
        answer = self.ask("eth_call", {"to": address, "data": "0x" + data.hex()}, hex(block.number))
        try:
            return _bytes(answer)
        except (TypeError, ValueError) as error:
            raise ChainError(f"{self.name}: eth_call answers what is no bytes: {error}.") from None

    def close(self) -> None:
        self._connection.close()

    def _block(self, number: str) -> Block | None:
        found = self.ask("eth_getBlockByNumber", number, False)
        if found is None:
            return None
        try:
            return Block(_whole(found["number"]), _bytes(found["hash"]), _whole(found["timestamp"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ChainError(
                f"{self.name}: eth_getBlockByNumber answers what is no block: {error!r}."
            ) from None

    def _number(self, method: str, answer: object) -> int:
        try:
            return _whole(answer)
        except (TypeError, ValueError) as error:
            raise ChainError(f"{self.name}: {method} answers what is no number: {error}.") from None

    def _expected(self, number: int, digest: bytes) -> Block:
        """The block of a log; the chain may have another one by now."""
        found = self.block(number)
        if found is None or found.hash != digest:
            raise MovedError
        return found

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self._parts.username is not None:
            secret = f"{unquote(self._parts.username)}:{unquote(self._parts.password or '')}"
            headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        query = f"?{self._parts.query}" if self._parts.query else ""
        self._connection.request("POST", (self._parts.path or "/") + query, body, headers)
        with self._connection.getresponse() as response:  # what read1() has read to its end stays open
            answer = self._read(response)
        # Some nodes say an error of JSON-RPC with a status of HTTP; others answer nothing but the status.
        if response.status >= 400 and not answer.lstrip().startswith(b"{"):
            raise http.client.HTTPException(f"HTTP status {response.status}")
        return answer

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """The bytes of an answer.

        Raises:
            RefusedError: more than an answer may have: less of the chain must be asked for at once.
            OSError: it takes too long.
        """
        pieces, left, deadline = [], _LARGEST, time.monotonic() + _PATIENCE
        while piece := response.read1(1 << 16):
            pieces.append(piece)
            left -= len(piece)
            if left < 0:
                self._connection.close()
                raise RefusedError(f"{self.name}: an answer of more than {_LARGEST:,} bytes.")
            if time.monotonic() > deadline:
                raise OSError(f"an answer of more than {_PATIENCE:,.0f} s")
        return b"".join(pieces)


def _bytes(value: object) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no bytes")
    return bytes.fromhex(value.removeprefix("0x"))


def _whole(value: object) -> int:
    """A number in hexadecimal, of at most 256 bits."""
    if not isinstance(value, str) or len(value) > 66 or (number := int(value, 16)) < 0:
        raise TypeError(f"{value!r:.40} is no number")
    return number
