"""``fedcxr bench consensus``: every figure of every chain is measured, and says whom it trusts."""

import json
from contextlib import closing
from pathlib import Path

from fedcxr.bench.consensus import HOSPITALS, as_json, bench_consensus
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer


def test_every_chain_is_measured(anvil_binary: Path) -> None:
    said: list[str] = []
    with (
        closing(EmbeddedChain(None, chain_id=61370)) as chain,
        closing(RpcServer(chain, send_gas=60_000_000)) as front,
    ):
        bench = bench_consensus(said.append, block_times=(0.1,), url=front.url)
    tree = json.loads(as_json(bench))
    assert [cost["chain"] for cost in tree["chains"]][:3] == [
        "embedded",
        "anvil, a block a transaction",
        "anvil, a block every 0.1 s",
    ]
    assert len(said) == 8
    for cost in bench.chains:
        assert cost.trust
        assert 0 < cost.inclusion_median <= cost.inclusion_p95
        assert cost.inclusion_median <= cost.finality_median
        assert cost.transactions_per_second > 0
        assert 0 < cost.round_share < 1
        assert cost.round_gas > 100_000
        assert cost.round_calldata_bytes > 1_000
    timed, remote = bench.chains[2:]
    assert timed.finality_median > 0.1
    assert remote.round_disk_bytes is None
    sizes = [cost.round_calldata_bytes for cost in bench.chains]
    assert max(sizes) - min(sizes) <= 132 * (HOSPITALS - 1)  # an update that comes late is a batch of its own
