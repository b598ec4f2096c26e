"""What each chain costs a federation, beside what it guarantees: ``fedcxr bench consensus``.

Latency and throughput are those of payments, the smallest transactions there are; the cost of a round is
that of the real engine with its real contract, whose hospitals answer with noise instead of training.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from eth_account import Account
from web3.types import TxParams, Wei

from fedcxr import config as configuration
from fedcxr.bench.round import run_protocol
from fedcxr.chain.backends import Chain, open_chain
from fedcxr.chain.endpoint import Connection, shown
from fedcxr.chain.retry import RetryPolicy
from fedcxr.chain.sender import Sender
from fedcxr.chain.web3_errors import translated
from fedcxr.ledger.views import FederationViews
from fedcxr.round_lines import read_rounds
from fedcxr.store.run_directory import RunDirectory
from server.events import Event, RoundFinalized

Say = Callable[[str], None]
ROUND_SECONDS = 600.0
"""Of the round whose share is given by default: ten minutes, a short one where images are trained on."""
HOSPITALS = 4
_ACCOUNTS = 4
_DEPTH = 2  # blocks that timed chains are waited for
_ROUNDS = 2  # the first pays for founding, too
_TRUST = {
    "embedded": "its owner, who could write another history",
    "anvil": "its one node's owner, as with embedded",
    "url": "as docs/consortium.md says of what is there",
}


@dataclass(frozen=True)
class ChainCost:
    """The figures of one chain.

    Attributes:
        chain: what it is.
        trust: who must be honest for its history to stand.
        finality_blocks: that a transaction waits for, after its own.
        inclusion_median, inclusion_p95: seconds from sending a payment to its receipt.
        finality_median, finality_p95: seconds until it lies as deep as finality wants.
        transactions_per_second: payments of four accounts at once, to the last receipt.
        round_ledger_seconds: that the engine waits for the ledger in a round of four hospitals.
        round_share: of a round as long as given.
        round_gas: of the round's transactions, together.
        round_calldata_bytes: that they carry.
        round_disk_bytes: that the round adds to the chain's file here; None where others keep it.
    """

    chain: str
    trust: str
    finality_blocks: int
    inclusion_median: float
    inclusion_p95: float
    finality_median: float
    finality_p95: float
    transactions_per_second: float
    round_ledger_seconds: float
    round_share: float
    round_gas: int
    round_calldata_bytes: int
    round_disk_bytes: int | None


@dataclass(frozen=True)
class ConsensusBench:
    """Chains side by side, and the round that their shares are of."""

    round_seconds: float
    hospitals: int
    chains: list[ChainCost]


@dataclass(frozen=True)
class _Candidate:
    """A chain to measure: its name, its section of the configuration, and how many payments are timed."""

    name: str
    trust: str
    changes: Mapping[str, object]
    payments: int


def bench_consensus(
    say: Say,
    *,
    round_seconds: float = ROUND_SECONDS,
    block_times: tuple[float, ...] = (1.0,),
    finality: int = 0,
    url: str = "",
    chain_id: int = 61_370,
) -> ConsensusBench:
    """Measure each chain in turn; about a minute, and one more for each further block time.

    Args:
        say: is told what is measured.
        round_seconds: of the round whose share is computed.
        block_times: of the anvils with timed blocks, seconds.
        finality: blocks waited for behind the URL; on timed blocks it is two.
        url: of one more chain; the coordinator's account there gets its ether from the chain's faucet or has
            gas for free.
        chain_id: of the chain behind the URL.
    """
    candidates = [
        _Candidate("embedded", _TRUST["embedded"], {"ledger.backend": "embedded"}, 25),
        _Candidate("anvil, a block a transaction", _TRUST["anvil"], {"ledger.backend": "anvil"}, 25),
    ]
    for seconds in block_times:
        timed = {"ledger.backend": "anvil", "ledger.block_time": seconds, "ledger.finality": _DEPTH}
        candidates.append(_Candidate(f"anvil, a block every {seconds:g} s", _TRUST["anvil"], timed, 4))
    if url:
        there = {"ledger.backend": "anvil", "ledger.url": url, "ledger.finality": finality}
        there["ledger.chain_id"] = chain_id
        candidates.append(_Candidate(shown(url), _TRUST["url"], there, 4))
    with tempfile.TemporaryDirectory(prefix="fedcxr-bench-") as directory:
        costs = [_measure(Path(directory), candidate, round_seconds, say) for candidate in candidates]
    return ConsensusBench(round_seconds, HOSPITALS, costs)


def _measure(work: Path, candidate: _Candidate, round_seconds: float, say: Say) -> ChainCost:
    say(f"{candidate.name}: payments")
    with tempfile.TemporaryDirectory(dir=work) as directory:
        settings = configuration.validate({"name": "bench", "data": {"root": "."}}, where="bench")
        settings = settings.with_changes(candidate.changes)
        depth = settings.ledger.finality
        alone = settings.with_changes(
            {"ledger.finality": 0}
        ).ledger  # the depth is waited for, and timed, here
        chain = open_chain(alone, embedded=Path(directory) / "sqlite", journal=Path(directory) / "journal")
        with contextlib.closing(chain):
            inclusion, final = translated(lambda: _latencies(chain, candidate.payments, depth))
            rate = translated(lambda: _throughput(chain, 25))
    say(f"{candidate.name}: rounds")
    with tempfile.TemporaryDirectory(dir=work) as directory:
        there = RunDirectory(Path(directory) / "run", trusted=True)
        embedded = settings.ledger.backend == "embedded"
        growth = _Growth(there.chain_path if embedded else there.journal_path)
        run = run_protocol(Path(directory), "compact", HOSPITALS, _ROUNDS, growth, changes=candidate.changes)
        last = read_rounds(run)[-1]
        calldata = translated(lambda: _calldata_of_last_round(run))
    assert last.ledger_seconds is not None and last.gas is not None
    return ChainCost(
        chain=candidate.name,
        trust=candidate.trust,
        finality_blocks=depth,
        inclusion_median=float(np.median(inclusion)),
        inclusion_p95=float(np.percentile(inclusion, 95)),
        finality_median=float(np.median(final)),
        finality_p95=float(np.percentile(final, 95)),
        transactions_per_second=rate,
        round_ledger_seconds=last.ledger_seconds,
        round_share=last.ledger_seconds / round_seconds,
        round_gas=sum(last.gas.values()),
        round_calldata_bytes=calldata,
        round_disk_bytes=growth.last,
    )


def _latencies(chain: Chain, payments: int, depth: int) -> tuple[list[float], list[float]]:
    """Seconds to the receipt, and to the depth that finality wants, of payments one after the other."""
    payer = Account.create()
    chain.fund(payer.address)
    sender = Sender(chain.w3, payer, RetryPolicy(poll=0.002))
    inclusion, final = [], []
    for _ in range(payments):
        started = time.perf_counter()
        receipt = sender.deliver(_payment(payer.address))
        inclusion.append(time.perf_counter() - started)
        while depth and chain.w3.eth.block_number < receipt["blockNumber"] + depth:
            time.sleep(0.01)
        final.append(time.perf_counter() - started)
    return inclusion, final


def _throughput(chain: Chain, each: int) -> float:
    """Payments a second of several accounts that do not wait for one another, to the last receipt."""
    payers = [Account.create() for _ in range(_ACCOUNTS)]
    for payer in payers:
        chain.fund(payer.address)
    w3 = chain.w3
    fee = 2 * int(w3.eth.get_block("latest").get("baseFeePerGas") or 0) + 10**9
    common = {"maxFeePerGas": fee, "maxPriorityFeePerGas": 1, "chainId": w3.eth.chain_id}
    signed = [
        [
            payer.sign_transaction({**_payment(payer.address), **common, "nonce": nonce}).raw_transaction
            for nonce in range(each)
        ]
        for payer in payers
    ]
    started = time.perf_counter()
    with ThreadPoolExecutor(_ACCOUNTS) as pool:
        list(pool.map(lambda raws: _push(w3, raws), signed))
    return _ACCOUNTS * each / (time.perf_counter() - started)


def _push(w3: Connection, raws: list[Any]) -> None:
    sent = [w3.eth.send_raw_transaction(raw) for raw in raws]
    w3.eth.wait_for_transaction_receipt(sent[-1], timeout=120, poll_latency=0.01)


def _payment(to: str) -> TxParams:
    return {"to": to, "value": Wei(1), "gas": 21_000}


@dataclass
class _Growth:
    """An observer that looks at the chain's file whenever a round is finalized."""

    path: Path
    sizes: list[int] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        if isinstance(event, RoundFinalized) and self.path.exists():
            self.sizes.append(self.path.stat().st_size)

    @property
    def last(self) -> int | None:
        return self.sizes[-1] - self.sizes[-2] if len(self.sizes) > 1 else None


def _calldata_of_last_round(run: RunDirectory) -> int:
    """Bytes that the transactions to the contract carry, from the last opening on."""
    chain = open_chain(run.config.ledger, embedded=run.chain_path, journal=run.journal_path)
    with contextlib.closing(chain):
        ledger = FederationViews.attach(chain.w3, run.read_facts().contract)
        opened = ledger.events("RoundOpened")[-1]["blockNumber"]
        total = 0
        for number in range(opened, chain.w3.eth.block_number + 1):
            for transaction in chain.w3.eth.get_block(number)["transactions"]:
                assert isinstance(transaction, bytes)
                found = chain.w3.eth.get_transaction(transaction)
                if found.get("to") == ledger.address:
                    total += len(bytes(found["input"]))
        return total


def as_json(bench: ConsensusBench) -> str:
    """The figures for machines."""
    return json.dumps(asdict(bench), indent=2)
