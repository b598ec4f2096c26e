"""A chain that this process shows answers those within as it answers those outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from web3.types import RPCEndpoint

from fedcxr.chain.backends import shown_to_others
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.endpoint import RetryingProvider, connect
from fedcxr.chain.here import HereProvider
from fedcxr.chain.retry import RetryPolicy

BLOCK_GAS = 60_000_000
DEAR = {"to": "0x" + 20 * "11", "data": "0x", "gas": hex(BLOCK_GAS)}
ASKED: list[tuple[str, list[Any]]] = [
    ("eth_chainId", []),
    ("eth_getBlockByNumber", ["latest", False]),
    ("eth_getBlockByNumber", ["0x77", False]),
    ("eth_getBalance", [EmbeddedChain(None, chain_id=1).faucet, "latest"]),
    ("eth_call", [DEAR, "latest"]),
    ("eth_accounts", []),
    ("evm_mine", []),
    ("eth_getBalance", ["no address"]),
    ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "latest"}]),
]


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[EmbeddedChain]:
    opened = EmbeddedChain(tmp_path / "chain.sqlite", chain_id=1337)
    opened.fund("0x" + 20 * "22")
    yield opened
    opened.close()


@pytest.mark.parametrize(("method", "params"), ASKED, ids=[method for method, _ in ASKED])
def test_who_asks_from_within_gets_the_answers_of_a_socket(
    chain: EmbeddedChain, method: str, params: list[Any]
) -> None:
    with shown_to_others(chain, "127.0.0.1", 0) as url:
        within = HereProvider(url).make_request(RPCEndpoint(method), params)
        outside = RetryingProvider(url, RetryPolicy()).make_request(RPCEndpoint(method), params)
    assert {**within, "id": 0} == {**outside, "id": 0}


def test_the_coordinators_process_needs_no_socket_and_others_do(chain: EmbeddedChain) -> None:
    with shown_to_others(chain, "127.0.0.1", 0) as url:
        assert isinstance(connect(url).provider, HereProvider)
        assert isinstance(connect(url.replace("127.0.0.1", "localhost")).provider, RetryingProvider)
        assert connect(url).eth.chain_id == 1337


def test_a_chain_that_was_closed_does_not_answer(chain: EmbeddedChain) -> None:
    with shown_to_others(chain, "127.0.0.1", 0) as url:
        w3 = connect(url)
    with pytest.raises(ConnectionError, match="the chain is closed"):
        w3.eth.chain_id  # noqa: B018 (it is asked for)


def test_what_is_asked_from_within_is_offered_to_strangers_alone(chain: EmbeddedChain) -> None:
    """A hospital of the same process has no more authority over the chain than one elsewhere."""
    with shown_to_others(chain, "127.0.0.1", 0) as url:
        provider = HereProvider(url)
        refused = provider.make_request(RPCEndpoint("eth_sendTransaction"), [{"from": chain.faucet}])
    assert "not offered here" in str(refused["error"])
