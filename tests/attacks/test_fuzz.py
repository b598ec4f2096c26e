"""The adversary sends anything: what is nearly right, too, ends in a typed error or a finding.

``FEDCXR_FUZZ=50000 pytest tests/attacks/test_fuzz.py`` tries as many inputs; the default is a small number.
Each input follows from its place, so that a failure names what makes it again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from eth_account import Account
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from web3.exceptions import BlockNotFound

from clients.watched import SentUpdate, Watched
from fedcxr import json_text, toml_text
from fedcxr.audit.chain.header import Header
from fedcxr.audit.chain.proof import ChainProof
from fedcxr.audit.chain.reading import read_chain
from fedcxr.audit.export.archive import MANIFEST, SIGNATURE, canonical, manifest_of, pack
from fedcxr.audit.export.export import AuditStatement
from fedcxr.audit.export.verification import verify
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.journal import check_journal
from fedcxr.audit.metrics_line import read_lines
from fedcxr.chain.anvil.journal import Beginning, Journal
from fedcxr.errors import ContractRejectedError, FedcxrError
from fedcxr.indexer.endpoint import Endpoint
from fedcxr.indexer.source import MovedError
from fedcxr.ledger.artifact import load_artifact
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.signed_json import signed_to_tree
from fedcxr.ledger.signing import Domain, Refusal, Signed, Submission, sign
from fedcxr.ledger.statements import (
    Complaint,
    Contradiction,
    Head,
    Labels,
    Unmasking,
    heads_from_bytes,
    heads_to_bytes,
)
from fedcxr.ledger.submissions import listing
from fedcxr.messages import (
    AttestationReply,
    FailureReply,
    RefusalReply,
    RegisterReply,
    UpdateReply,
    kind_of,
)
from fedcxr.privacy.envelope import open_envelope, seal
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.privacy.protection import UpdateContext
from fedcxr.update import frozen_file, model_file
from fedcxr.update.layout import Layout, TensorSpec
from fedcxr.update.metrics import HospitalMetrics
from fedcxr.update.round_config import RareLabels, RoundConfig, StatedLabels

INPUTS = int(os.environ.get("FEDCXR_FUZZ", "2000"))
DEADLINE = 5.0  # seconds for one input
MEMORY = 300  # MiB that all inputs of a format may take beyond what was there before them
Read = Callable[[Any], object]

ACCOUNT = Account.from_key(b"\x07" * 32)
DOMAIN = Domain(1337, "0x" + "11" * 20)
LAYOUT = Layout((TensorSpec("a", (2, 3), False, False), TensorSpec("b", (4,), True, True)))
CONTEXT = UpdateContext("ab", 1, ACCOUNT.address, LAYOUT.digest.hex(), LAYOUT.size, 1)
KEY = EnvelopePrivateKey.generate("X25519")
ODD_TEXTS = ("", "\x1b[2J", "\ud800", "0x", "x" * 5000, "٣", "-1", "\x00", "9" * 5000)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 2**256, -(2**255), 10**79, 10**400),
    *(0.5, -0.0, 1e308, float("nan"), float("inf"), [], {}, [[]], {"": None}, *ODD_TEXTS),
)


class SlowError(Exception):
    """An input took longer than it may."""


@contextlib.contextmanager
def deadline() -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise SlowError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def bent(rng: random.Random, data: bytes) -> bytes:
    """Bytes with a few changes: flipped, cut, doubled, overwritten, or made of another part."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(7):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at : at + rng.choice((1, 4, 40, 4096))]
            case 2:
                changed[at:at] = changed[at : at + rng.choice((1, 8, 300))] * rng.choice((1, 2, 50))
            case 3:
                changed[at : at + 8] = rng.choice(
                    (b"\xff" * 8, bytes(8), b"9" * 100, b"[" * 100, b'"', b"\\")
                )
            case 4:
                changed[at : at + 4] = rng.randbytes(4)
            case 5:
                del changed[at:]
            case _:
                other = rng.randrange(len(changed) + 1)
                changed[at:at] = changed[other : other + rng.randrange(64)]
    return bytes(changed)


def twisted(rng: random.Random, tree: Any, depth: int = 0) -> Any:
    """A tree of JSON with one value, or one key, changed for something odd."""
    if depth < 8 and isinstance(tree, dict) and tree and rng.random() < 0.9:
        key = rng.choice(list(tree))
        match rng.randrange(12):
            case 0:
                return {name: value for name, value in tree.items() if name != key}
            case 1:
                return {**tree, rng.choice(ODD_TEXTS): rng.choice(ODD)}
            case 2:
                return {**tree, key: tree[rng.choice(list(tree))]}
            case _:
                return {**tree, key: twisted(rng, tree[key], depth + 1)}
    if depth < 8 and isinstance(tree, list) and tree and rng.random() < 0.9:
        at = rng.randrange(len(tree))
        match rng.randrange(8):
            case 0:
                return tree[:at] + tree[at + 1 :]
            case 1:
                return tree[:at] + [tree[at]] * rng.choice((2, 40)) + tree[at:]
            case _:
                return [*tree[:at], twisted(rng, tree[at], depth + 1), *tree[at + 1 :]]
    if isinstance(tree, str) and tree and rng.random() < 0.5:
        at = rng.randrange(len(tree))
        return tree[:at] + rng.choice(("", "0", "f", "zz", tree[:70])) + tree[at + rng.randrange(3) :]
    return rng.choice(ODD)


def text_of(tree: Any) -> bytes:
    return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")


def mutated(rng: random.Random, good: bytes) -> bytes:
    """A text of JSON, bent as bytes or twisted as a tree."""
    return bent(rng, good) if rng.random() < 0.4 else text_of(twisted(rng, json.loads(good)))


def memory(line: str) -> float:
    """A line of this process's status, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{line}:")[2].split()[0]) / 1024


def hammer(name: str, share: float, make: Callable[[random.Random], Any], read: Read, *known: type) -> None:
    """Give a reader as many inputs as are asked for.

    Each must end in time, and well or in a known error; none may take more memory than all may.
    """
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew: proc(5)
    before = memory("VmRSS")
    feed(name, share, make, read, *known)
    taken = memory("VmHWM") - before
    assert taken < MEMORY, f"{name}: {taken:.0f} MiB"


def feed(name: str, share: float, make: Callable[[random.Random], Any], read: Read, *known: type) -> None:
    """Every input, one after the other."""
    for place in range(max(int(INPUTS * share), 1)):
        value = make(random.Random(f"{name} {place}"))
        try:
            with deadline():
                read(value)
        except (FedcxrError, *known):
            continue
        except Exception as error:
            pytest.fail(f"{name}, input {place}: {type(error).__name__}: {error!s:.300}: {value!r:.600}")


# What is read


def submission() -> Submission:
    return Submission(b"\x01" * 32, 1, 1, ACCOUNT.address, b"\x02" * 32, b"\x03" * 32, 5, 40, b"\x04" * 32)


def metrics() -> HospitalMetrics:
    return HospitalMetrics("ab" * 16, 5, 5, 1, 1.0, 0.1, 0.5, {"bce": 0.5}, 0)


class FakeLedger:
    """What a journal is held to."""

    federation, domain = b"\x01" * 32, DOMAIN

    last_finalized = 0

    @property
    def w3(self) -> Any:
        """A chain of one block."""
        return SimpleNamespace(eth=SimpleNamespace(get_block=self._block))

    def _block(self, number: int) -> dict[str, bytes]:
        if number:
            raise BlockNotFound
        return {"hash": b"\x05" * 32}

    def seat_of(self, address: str) -> int:
        if address != ACCOUNT.address:
            raise ContractRejectedError("NotRegistered", (address,))
        return 0

    def refusals(self, number: int) -> dict[str, list[bytes]]:
        return {}

    def round_events(self, number: int) -> RoundEvents:
        return RoundEvents(number, [])

    def events(self, name: str, number: int) -> list[dict[str, Any]]:
        return []


def test_envelopes() -> None:
    good = seal(np.arange(10, dtype=np.uint32), CONTEXT, [KEY.public])
    header, rest = good[:4096], good[4096:]
    tree = json.loads(header.partition(b"\n")[2])

    def make(rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return (
                bent(rng, header[:600]).ljust(4096)[:4095] + b"\n" + rest
                if rng.random() < 0.5
                else bent(rng, good)
            )
        text = rng.choice([b"fedcxr/envelope/1\n", b"fedcxr/envelope/2\n"]) + text_of(twisted(rng, tree))
        return text.ljust(-(-(len(text) + 1) // 4096) * 4096 - 1) + b"\n" + rest

    hammer("envelope", 0.15, make, lambda blob: open_envelope(blob, CONTEXT, KEY))


def test_layouts() -> None:
    good = LAYOUT.to_json().encode()
    hammer("layout", 0.1, lambda rng: mutated(rng, good), Layout.from_json)


def test_small_records() -> None:
    stated = StatedLabels(3, ACCOUNT.address, 0b101, b"\x05" * 65)
    configs = [
        RoundConfig(1, "ab", "cd", "ef", (1, -2), rare) for rare in (None, RareLabels((stated,), (2,)))
    ]
    hammer("metrics", 0.08, lambda rng: mutated(rng, metrics().to_bytes()), HospitalMetrics.from_bytes)
    hammer("round", 0.04, lambda rng: mutated(rng, rng.choice(configs).to_bytes()), RoundConfig.from_bytes)


def test_json_and_toml() -> None:
    good = text_of({"a": [1, {"b": "c\\"}], "d": None})
    hammer("json", 0.04, lambda rng: bent(rng, good * rng.choice((1, 50))), json_text.parse, ValueError)
    toml = b'a = 1\n[b.c]\nd = [1, "x"]\n[[e]]\nf = {g = 1, h = "y"}\n"i j" = 2020-01-01\n'
    hammer("toml", 0.04, lambda rng: bent(rng, toml * rng.choice((1, 9))), toml_text.parse, ValueError)


def test_listings() -> None:
    signed = [Signed(submission(), b"\x05" * 65)]
    good = listing.to_bytes(signed)
    hammer("listing", 0.08, lambda rng: mutated(rng, good), listing.from_bytes)


def test_metrics_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    hospital = {"address": ACCOUNT.address, **json.loads(metrics().to_bytes())}
    line = text_of(
        {"round": 1, "model": "ab", "included": [], "hospitals": {"north": hospital}, "gas": {"x": 1}}
    )

    def read(data: bytes) -> None:
        path.write_bytes(data + b"\n" + line + b"\n")
        read_lines(path, 3, AuditReport())

    hammer("metrics line", 0.1, lambda rng: mutated(rng, line), read)


def test_journals(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    refusal = Refusal(b"\x01" * 32, 1, ACCOUNT.address, b"\x02" * 32)
    who, zeros = ACCOUNT.address, bytes(32)
    head = Head(b"\x01" * 32, who, 0, b"\x05" * 32)
    contradiction = Contradiction(b"\x01" * 32, who, who, 0, b"\x05" * 32, zeros, 0, b"\x05" * 32)
    complaint = Complaint(b"\x01" * 32, 1, 1, who, zeros, zeros, zeros, 4, 0, b"\x05" * 32)
    unmasking = Unmasking(b"\x01" * 32, 1, 1, who, zeros, 0b1011, 0, b"\x05" * 32, zeros)
    labels = Labels(b"\x01" * 32, who, 0b101)
    lines = [
        text_of({"kind": struct.kind(), **signed_to_tree(Signed(struct, sign(ACCOUNT, struct, DOMAIN)))})
        for struct in (submission(), refusal, head, contradiction, complaint, unmasking, labels)
    ]

    def make(rng: random.Random) -> bytes:
        return mutated(rng, rng.choice(lines)) + rng.choice((b"", b"\n"))

    def read(data: bytes) -> None:
        path.write_bytes(data)
        check_journal(path, FakeLedger(), AuditReport())  # type: ignore[arg-type]

    hammer("journal", 0.08, make, read)


def test_heads_and_what_is_remembered_of_them() -> None:
    message = Head(b"\x01" * 32, ACCOUNT.address, 1, b"\x05" * 32)
    head = Signed(message, sign(ACCOUNT, message, DOMAIN))
    heads = heads_to_bytes([head])
    hammer(
        "heads",
        0.05,
        lambda rng: mutated(rng, heads),
        lambda data: heads_from_bytes(data, b"\1" * 32, DOMAIN),
    )
    kept = (
        Watched(head, "round 1")
        .with_update(SentUpdate(Signed(submission(), b"\x05" * 65), 3, 15))
        .with_contradiction(3, 1)
        .to_json()
        .encode()
    )
    hammer("watched", 0.05, lambda rng: twisted(rng, json.loads(kept)), Watched.of)


def test_an_anvils_journals(tmp_path: Path) -> None:
    path = tmp_path / "ledger.journal"
    head = {
        "format": "fedcxr/chain-journal/1",
        "chain_id": 5,
        "timestamp": 1,
        "gas_limit": 9,
        "fork": "prague",
    }
    lines = [text_of(head), text_of({"over": "ab", "raw": "cd"}), text_of({"over": "ab", "mine": 1})]

    def make(rng: random.Random) -> bytes:
        place = rng.randrange(3)
        return b"".join((mutated(rng, t) if n == place else t) + b"\n" for n, t in enumerate(lines))

    def read(data: bytes) -> None:
        path.write_bytes(data)
        Journal(path, Beginning(5, 1, 9)).close()

    hammer("anvil's journal", 0.03, make, read)


def test_model_files(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    good = model_file.to_bytes(np.zeros(10, np.float32), LAYOUT, federation=b"f", round_number=1)
    length = int.from_bytes(good[:8], "little")
    tree = json.loads(good[8 : 8 + length])

    def make(rng: random.Random) -> bytes:
        if rng.random() < 0.4:
            return bent(rng, good)
        text = text_of(twisted(rng, tree))
        return len(text).to_bytes(8, "little") + text + good[8 + length :]

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(FedcxrError):
            frozen_file.root(path)
        model_file.read(path, LAYOUT)

    hammer("model file", 0.08, make, read)


REPLIES = (
    UpdateReply(
        1,
        1,
        ACCOUNT.address,
        b"\x01" * 32,
        b"\x02" * 32,
        1,
        4,
        b"\x03" * 32,
        b"\x04" * 65,
        b"{}",
        0.5,
        b"blob",
    ),
    RegisterReply("north", ACCOUNT.address, 1, 9, b"k" * 32, b"s" * 65, b"p" * 65),
    RefusalReply(1, ACCOUNT.address, b"\x01" * 32, b"s" * 65),
    AttestationReply(ACCOUNT.address, ACCOUNT.address, b"\x01" * 32, True, 5, b"s" * 65),
    FailureReply(20),
)


def test_flower_records() -> None:
    values: list[Any] = [
        0,
        -1,
        2**63 - 1,
        2**80,
        True,
        1.5,
        float("nan"),
        "",
        "x" * 5000,
        b"",
        b"y" * 5000,
        [1],
        ["a"],
        [],
    ]

    def make(rng: random.Random) -> tuple[type, RecordDict]:
        reply = rng.choice(REPLIES)
        records = reply.to_records()
        head = dict(records.config_records["fedcxr"])
        for _ in range(rng.randint(1, 2)):
            key = rng.choice([*head, "more"])
            if rng.random() < 0.3:
                head.pop(key, None)
            else:
                head[key] = rng.choice(values)
        changed = RecordDict({"fedcxr": ConfigRecord(head)} if rng.random() < 0.95 else {})
        if rng.random() < 0.7:
            shape = rng.choice(((4,), (0,), (2, 2)))
            name = rng.choice(("bulk", "bulk", "other"))
            changed["bulk"] = ArrayRecord({name: Array("uint8", shape, "x", b"blob")})
        return type(rng.choice(REPLIES)) if rng.random() < 0.2 else type(reply), changed

    def read(value: tuple[Any, RecordDict]) -> None:
        kind, records = value
        kind_of(records)
        reply = kind.from_records(records)
        if isinstance(reply, UpdateReply):
            reply.submission(b"\x01" * 32)

    hammer("Flower records", 0.1, make, read)


BLOCK = {
    **dict.fromkeys(("hash", "parentHash", "sha3Uncles", "stateRoot", "transactionsRoot"), "0x" + "11" * 32),
    **dict.fromkeys(("receiptsRoot", "mixHash"), "0x" + "22" * 32),
    **{
        "miner": "0x" + "33" * 20,
        "logsBloom": "0x" + "ff" * 256,
        "nonce": "0x" + "00" * 8,
        "extraData": "0x",
    },
    **dict.fromkeys(("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas"), "0x1"),
    "transactions": ["0x" + "44" * 32],
}
LOG = {
    "address": "0x" + "11" * 20,
    "topics": ["0x" + "55" * 32],
    "data": "0x" + "00" * 64,
    **dict.fromkeys(("blockNumber", "logIndex", "transactionIndex"), "0x1"),
    **dict.fromkeys(("transactionHash", "blockHash"), "0x" + "44" * 32),
}
SENT = {
    **{"hash": "0x" + "44" * 32, "type": "0x2", "input": "0x00", "to": None, "accessList": []},
    **dict.fromkeys(("nonce", "gas", "value", "v", "r", "s", "chainId", "yParity"), "0x1"),
    **dict.fromkeys(("gasPrice", "maxPriorityFeePerGas", "maxFeePerGas"), "0x1"),
}
RECEIPT = {"status": "0x1", "cumulativeGasUsed": "0x1", "logs": [LOG], "type": "0x2"}
ANSWERS: dict[str, Any] = {
    "eth_getBlockByNumber": BLOCK,
    "eth_getLogs": [LOG],
    "eth_getTransactionByHash": SENT,
    "eth_getTransactionReceipt": RECEIPT,
    "eth_getBlockReceipts": [RECEIPT],
    "eth_chainId": "0x539",
    "eth_getCode": "0x00",
    "eth_call": "0x00",
}


class Web3Like:
    """A chain that answers a question at random with something that is nearly right."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.provider, self.asked = rng, self, 0

    def make_request(self, method: str, params: Any) -> Any:
        self.asked += 1
        good = ANSWERS[method]
        odd = self.rng.random() < 0.5
        answer = twisted(self.rng, good) if odd else good
        return {"result": json_text.parse(text_of(answer))}


def test_answers_of_an_endpoint_to_an_audit() -> None:
    def read(rng: random.Random) -> None:
        read_chain(Web3Like(rng), DOMAIN.contract)[0].differences()  # type: ignore[arg-type]

    hammer("audit's endpoint", 0.1, lambda rng: rng, read, ValueError)


def test_answers_of_an_endpoint_to_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def read(rng: random.Random) -> None:
        endpoint = Endpoint("http://127.0.0.1:1", tries=1)

        def post(body: bytes) -> bytes:
            good = text_of({"jsonrpc": "2.0", "id": 1, "result": ANSWERS[json.loads(body)["method"]]})
            return mutated(rng, good) if rng.random() < 0.6 else good

        monkeypatch.setattr(endpoint, "_post", post)
        for ask in (
            endpoint.chain_id,
            lambda: endpoint.may_hold("0x"),
            endpoint.head,
            lambda: endpoint.logs(["0x"], 0, 9),
            lambda: endpoint.call("0x", b"", endpoint.head()),
        ):
            with contextlib.suppress(FedcxrError, MovedError):
                ask()

    hammer("index's endpoint", 0.05, lambda rng: rng, read)


def test_headers() -> None:
    hammer("header", 0.03, lambda rng: twisted(rng, BLOCK), Header.from_json, AttributeError)


@pytest.fixture(scope="module")
def members() -> dict[str, bytes]:
    """An export that holds together as far as its signature; its chain is of a single header."""
    header = Header.from_json(BLOCK)
    proof = ChainProof(1337, DOMAIN.contract, "0x" + "22" * 20, header.hashes[0], (header.raw,), {})
    artifact = load_artifact().to_json().encode()
    report = {
        **{"findings": [], "unchecked": [], "notes": [], "released": "", "federation": "ab", "contract": ""},
        **{"clean": True, "complete": True, "proven": False, "rounds": 0, "updates": 0, "bytes": 0},
    }
    audit = {
        "report": report,
        "scope": {"first": 1, "last": None, "hospital": ""},
        "opened_by": [],
        "made": "",
    }
    contract = {"address": DOMAIN.contract, "chain_id": 1337, "federation": "ab", "code": "0x00"}
    return {
        "audit.json": canonical({**audit, "fedcxr": "0", "python": "3"}),
        "contract.json": canonical({**contract, "code_keccak256": "0x", "artifact_sha256": ""}),
        "artifact.json": artifact,
        "chain.json": canonical(proof.tree()),
        "events.json": canonical([]),
    }


def signed(members: dict[str, bytes]) -> bytes:
    """The export of whoever has a key."""
    manifest = manifest_of(members)
    signature = sign(ACCOUNT, AuditStatement(hashlib.sha256(manifest).digest()), DOMAIN)
    seal_ = canonical({"address": ACCOUNT.address, "signature": "0x" + signature.hex()})
    return pack({**members, MANIFEST: manifest, SIGNATURE: seal_})


def test_exports(members: dict[str, bytes]) -> None:
    good = signed(members)

    def make(rng: random.Random) -> bytes:
        if rng.random() < 0.2:
            return bent(rng, good)
        name = rng.choice([name for name in members if name != "artifact.json" or rng.random() < 0.1])
        return signed({**members, name: mutated(rng, members[name])})

    hammer("export", 0.1, make, verify)
