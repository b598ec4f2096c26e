"""A history of any length, without a chain that executes it: blocks and logs as the contract would emit them.

The logs are encoded by eth_abi from the artifact's ABI: nothing of the index's own reading is in them.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import rlp
from eth_abi.abi import decode, encode
from eth_utils.abi import event_abi_to_log_topic
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from fedcxr.chain.embedded import seal
from fedcxr.chain.embedded.evm import GENESIS_KEY
from fedcxr.chain.embedded.sqlite_db import SCHEMA, TABLE
from fedcxr.indexer.events import definitions
from fedcxr.ledger.artifact import load_artifact

CONTRACT = to_checksum_address("0x" + "c0" * 20)
COURT = to_checksum_address("0x" + "c1" * 20)
COORDINATOR = to_checksum_address("0x" + "c2" * 20)
CHAIN_ID = 1337
BUDGET = 1000
START = 1_700_000_000


def sha(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


@lru_cache(maxsize=1)
def _events() -> dict[str, tuple[bytes, list[dict[str, Any]]]]:
    kept = definitions()  # of the events whose sets of seats are a word or several, those with the word
    return {
        entry["name"]: (event_abi_to_log_topic(entry), entry["inputs"])  # type: ignore[arg-type]
        for entry in load_artifact().abi
        if entry["type"] == "event" and entry["inputs"] == kept.get(entry["name"], entry["inputs"])
    }


def _type(entry: Mapping[str, Any]) -> str:
    if entry["type"] != "tuple":
        return str(entry["type"])
    return f"({','.join(map(_type, entry['components']))})"


def encoded(name: str, **values: object) -> tuple[list[bytes], bytes]:
    """Topics and data of an event."""
    topic, inputs = _events()[name]
    topics = [encode([_type(i)], [values[i["name"]]]) for i in inputs if i["indexed"]]
    plain = [i for i in inputs if not i["indexed"]]
    return [topic, *topics], encode([_type(i) for i in plain], [values[i["name"]] for i in plain])


FOUNDING = (
    b"F" * 32,
    b"L" * 32,
    b"C" * 32,
    b"G" * 32,
    0,
    0,
    0,
    False,
    0,
    1,
    60,
    60,
    8192,
    BUDGET,
    0,
    b"key",
    b"",
)


@dataclass
class History:
    """Blocks of one transaction each, in order.

    Attributes:
        salt: another one gives another chain.
        logs: of each block.
    """

    salt: object = 0
    logs: list[list[tuple[list[bytes], bytes]]] = field(default_factory=lambda: [[]])

    @classmethod
    def of(cls, rounds: int, hospitals: int, salt: object = 0) -> History:
        """Founded, joined by ``hospitals``, and so many whole rounds: four blocks each."""
        history = cls(salt)
        history.add(
            encoded("RoleGranted", role=b"R" * 32, account=COORDINATOR, sender=COORDINATOR),
            encoded("FederationCreated", federation=b"F" * 32, court=COURT, founding=FOUNDING),
        )
        for seat in range(hospitals):
            joined = {"roles": 1, "samples": 100, "envelopeKey": b"k" * 32, "signature": b"s" * 65}
            history.add(encoded("MemberJoined", member=hospital(seat), seat=seat, **joined))
        for number in range(1, rounds + 1):
            history.add_round(number, hospitals)
        return history

    def add(self, *logs: tuple[list[bytes], bytes]) -> None:
        self.logs.append(list(logs))

    def add_round(self, number: int, hospitals: int) -> None:
        """Open it, which settles the one before; submit; close; finalize."""
        everyone, at = (1 << hospitals) - 1, {"round": number, "attempt": 1}
        given = [BUDGET // hospitals + (seat < BUDGET % hospitals) for seat in range(hospitals)]
        opening = encoded(
            "RoundOpened",
            **at,
            baseDigest=sha("model", number - 1) if number > 1 else b"G" * 32,
            configDigest=sha("config", number),
            deadline=START + 10**6,
            seats=everyone,
            participants=[hospital(seat) for seat in range(hospitals)],
            weights=[4096 // hospitals] * hospitals,
        )
        settled = [encoded("RewardsSettled", round=number - 1, included=everyone, credits=given)]
        self.add(*(settled if number > 1 else []), opening)
        self.add(
            *(
                encoded(
                    "UpdateAccepted",
                    round=number,
                    hospital=hospital(seat),
                    root=sha("root", number, seat),
                    samples=100,
                    size=10**6,
                    metrics=sha("metrics", number, seat),
                    signature=b"s" * 65,
                )
                for seat in range(hospitals)
            )
        )
        self.add(
            encoded("RoundClosed", **at, accepted=everyone, validationDeadline=0),
            encoded("RoundValidated", **at, counted=everyone),
        )
        self.add(
            encoded(
                "RoundFinalized",
                **at,
                aggregateRoot=sha("sum", number),
                modelDigest=sha("model", number),
                submissionsRoot=bytes(32),
                included=everyone,
            )
        )

    def hash(self, number: int) -> bytes:
        return sha(self.salt, "block", number)

    @property
    def head(self) -> int:
        return len(self.logs) - 1


def write_chain(history: History, path: Path) -> None:
    """The history as an embedded chain's file at rest: headers, and tries of one leaf each."""
    connection = sqlite3.connect(path)
    connection.execute(SCHEMA)
    rows = {GENESIS_KEY: json.dumps({"chain_id": CHAIN_ID, "timestamp": START}).encode()}
    parent = bytes(32)
    for number, logs in enumerate(history.logs):
        roots = []
        receipt = [
            b"\1",
            21000,
            bytes(256),
            [[bytes.fromhex(CONTRACT[2:]), topics, data] for topics, data in logs],
        ]
        for value in (sha("transaction", history.salt, number), b"\2" + rlp.encode(receipt)):
            leaf = rlp.encode([b"\x20\x80", value])  # the key is the RLP of 0
            rows[keccak(leaf)] = leaf
            roots.append(keccak(leaf))
        fields = [parent, b"", bytes(20), bytes(32), *roots, bytes(256), 0, number, 0, 0, START + number, b""]
        header = rlp.encode([*fields, bytes(32), bytes(8), 0, bytes(32), 0, 0, bytes(32), bytes(32)])
        parent = keccak(header)
        rows |= {parent: header, b"block-number-to-hash:%d" % number: rlp.encode(parent)}
    rows[b"v1:canonical_head_hash"] = parent
    connection.executemany(f"INSERT INTO {TABLE} VALUES (?, ?)", sorted(rows.items()))
    connection.commit()
    connection.execute("BEGIN")
    seal.close(connection)
    connection.commit()
    connection.close()


def hospital(seat: int) -> str:
    return to_checksum_address(sha("hospital", seat)[:20])


@dataclass
class Node:
    """A JSON-RPC endpoint over a history, which may be changed while it answers.

    Attributes:
        asked: how often each method was.
        broken: what is answered instead, as status and body.
        largest: blocks of eth_getLogs that are not too many.
        forged_credits: what the contract says of its sums, instead of those of its events.
    """

    history: History
    url: str = ""
    asked: dict[str, int] = field(default_factory=dict)
    broken: tuple[int, bytes] | None = None
    largest: int = 10**9
    forged_credits: list[int] | None = None

    def answer(self, method: str, params: list[Any]) -> dict[str, Any]:
        self.asked[method] = self.asked.get(method, 0) + 1
        history = self.history
        if method == "eth_chainId":
            return {"result": hex(CHAIN_ID)}
        if method == "eth_getCode":
            return {"result": "0x60" if params[0].lower() == CONTRACT.lower() else "0x"}
        if method == "eth_getBlockByNumber":
            number = history.head if params[0] == "latest" else int(params[0], 16)
            if number > history.head:
                return {"result": None}
            block = {"number": hex(number), "hash": "0x" + history.hash(number).hex()}
            return {"result": {**block, "timestamp": hex(START + number)}}
        if method == "eth_getLogs":
            return self._logs(params[0])
        if method == "eth_call":
            return {"result": "0x" + self._credits().hex()}
        return {"error": {"code": -32601, "message": f"no {method}"}}

    def _logs(self, wanted: dict[str, Any]) -> dict[str, Any]:
        first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
        if last - first >= self.largest:
            return {"error": {"code": -32005, "message": "query returned more than 10000 results"}}
        if CONTRACT.lower() not in [address.lower() for address in wanted["address"]]:
            return {"result": []}
        return {
            "result": [
                {
                    "topics": ["0x" + topic.hex() for topic in topics],
                    "data": "0x" + data.hex(),
                    "blockNumber": hex(number),
                    "blockHash": "0x" + self.history.hash(number).hex(),
                    "logIndex": hex(position),
                    "transactionHash": "0x" + sha("transaction", number).hex(),
                }
                for number in range(first, last + 1)
                for position, (topics, data) in enumerate(self.history.logs[number])
            ]
        }

    def _credits(self) -> bytes:
        if self.forged_credits is not None:
            return encode(["uint256[]"], [self.forged_credits])
        sums: dict[int, int] = {}
        topic = _events()["RewardsSettled"][0]
        for topics, data in (log for block in self.history.logs for log in block):
            if topics[0] == topic:
                included, given = decode(["uint256", "uint256[]"], data)
                seats = [seat for seat in range(included.bit_length()) if included >> seat & 1]
                for seat, amount in zip(seats, given, strict=True):
                    sums[seat] = sums.get(seat, 0) + amount
        return encode(["uint256[]"], [[sums[seat] for seat in sorted(sums)]])


@contextmanager
def serving(history: History) -> Iterator[Node]:
    """A node that answers for a history while the context lasts."""
    node = Node(history)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = node.broken or (
                200,
                json.dumps(
                    {"jsonrpc": "2.0", "id": 1, **node.answer(request["method"], request["params"])}
                ).encode(),
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    node.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield node
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
