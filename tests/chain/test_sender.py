"""Sending on a node that is slow, reorganises itself, or is shared: each transaction is mined once.

The node is an anvil that makes blocks only when the test says so.
"""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from contract_party import LocalChain, Party, account
from eth_account import Account
from faulty_proxy import Fault, FaultyProxy
from web3.types import TxParams, TxReceipt

from fedcxr.chain.anvil.journal import Beginning
from fedcxr.chain.anvil.process import Anvil
from fedcxr.chain.backends import RemoteChain
from fedcxr.chain.embedded.evm import FAUCET, GAS_LIMIT
from fedcxr.chain.endpoint import Connection, connect
from fedcxr.chain.retry import RetryPolicy
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.chain.sender import Sender
from fedcxr.chain.web3_errors import translated
from fedcxr.errors import ChainError

PAYER = Account.from_key(FAUCET.to_bytes())
QUICK = RetryPolicy(timeout=0.5, backoff=0.01, poll=0.01, give_up_after=20)


class Node:
    """An anvil, driven by hand."""

    def __init__(self, binary: Path, timestamp: int = 0) -> None:
        self.anvil = Anvil(binary, Beginning(1337, timestamp or int(time.time()), GAS_LIMIT))
        self.w3 = connect(self.anvil.url, QUICK)
        self._time = timestamp or int(time.time())

    def ask(self, method: str, *params: Any) -> Any:
        answer = self.w3.provider.make_request(method, list(params))  # type: ignore[arg-type]
        assert "error" not in answer, answer
        return answer["result"]

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self._time += 1
            self.ask("evm_mine", self._time)

    def reorganise(self, depth: int) -> None:
        """Replace the last blocks by empty ones; their transactions are gone, from the pool too."""
        self.ask("anvil_reorg", depth, [])

    def pool(self) -> int:
        return int(self.ask("txpool_status")["pending"], 16)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.01)

    def close(self) -> None:
        self.anvil.close()


@pytest.fixture
def node(anvil_binary: Path) -> Iterator[Node]:
    with closing(Node(anvil_binary)) as node:
        yield node


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def payment(to: int = 700, wei: int = 1) -> TxParams:
    return {"to": account(to).address, "value": wei, "gas": 21_000}  # type: ignore[typeddict-item]


def received(w3: Connection, to: int = 700) -> int:
    return int(w3.eth.get_balance(account(to).address))


def sender(node: Node, **changes: Any) -> Sender:
    return Sender(node.w3, PAYER, RetryPolicy(**{**vars(QUICK), **changes}))


def test_what_is_stuck_is_replaced_at_an_eighth_more_under_its_nonce(
    node: Node, pool: ThreadPoolExecutor
) -> None:
    sending = pool.submit(sender(node, stuck_after=0.3).deliver, payment())
    node.until(lambda: node.pool() == 1)
    (first,) = node.ask("eth_getBlockByNumber", "pending", False)["transactions"]
    offered = node.w3.eth.get_transaction(first)
    node.until(lambda: node.ask("eth_getBlockByNumber", "pending", False)["transactions"] != [first])
    node.mine()
    receipt = sending.result(10)
    replaced = node.w3.eth.get_transaction(receipt["transactionHash"])
    assert replaced["hash"].to_0x_hex() != first
    assert replaced["nonce"] == offered["nonce"] == 0
    for fee in ("maxFeePerGas", "maxPriorityFeePerGas"):
        assert 8 * replaced[fee] >= 9 * offered[fee]  # type: ignore[literal-required]
    node.mine()
    assert received(node.w3) == 1


def test_what_is_never_mined_is_an_error_that_names_it(node: Node) -> None:
    with pytest.raises(ChainError, match=r"nonce 0.*may still be mined"):
        sender(node, give_up_after=0.3).deliver(payment())


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_reorganisation_after_the_receipt_is_noticed_and_the_same_bytes_sent_again(
    node: Node, pool: ThreadPoolExecutor, depth: int
) -> None:
    sending = pool.submit(sender(node, finality=3).deliver, payment())
    node.until(lambda: node.pool() == 1)
    node.mine(depth)
    (mined,) = node.w3.eth.get_block(node.w3.eth.block_number - depth + 1)["transactions"]
    time.sleep(0.1)  # the sender has seen the receipt
    node.reorganise(depth)
    assert received(node.w3) == 0
    node.until(lambda: node.pool() == 1)
    assert not sending.done()
    node.mine(4)
    receipt = sending.result(10)
    assert receipt["transactionHash"] == mined
    assert node.w3.eth.get_transaction_receipt(mined)["blockHash"] == receipt["blockHash"]
    assert received(node.w3) == 1


def test_it_counts_only_when_it_lies_deep_enough(node: Node, pool: ThreadPoolExecutor) -> None:
    sending = pool.submit(sender(node, finality=3).deliver, payment())
    node.until(lambda: node.pool() == 1)
    node.mine(3)
    time.sleep(0.3)
    assert not sending.done()
    node.mine()
    assert sending.result(10)["blockNumber"] == node.w3.eth.block_number - 3


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_what_a_reorganisation_took_after_it_counted_is_sent_again_before_the_next(
    node: Node, pool: ThreadPoolExecutor, depth: int
) -> None:
    sending = sender(node)

    def deliver(count: int) -> list[TxReceipt]:
        receipts = []
        for _ in range(count):
            future: Future[TxReceipt] = pool.submit(sending.deliver, payment())
            while not future.done():
                if node.pool():
                    node.mine()
            receipts.append(future.result())
        return receipts

    earlier = deliver(3)
    node.reorganise(depth)
    assert received(node.w3) == 3 - depth
    (last,) = deliver(1)
    assert received(node.w3) == 4
    for receipt in [*earlier, last]:
        assert node.w3.eth.get_transaction_receipt(receipt["transactionHash"])["status"] == 1


def test_a_chain_begun_anew_under_a_sender_is_refused(node: Node, anvil_binary: Path) -> None:
    with closing(FaultyProxy(node.anvil.url)) as proxy, ThreadPoolExecutor(1) as pool:
        w3 = connect(proxy.url, QUICK)
        first = pool.submit(w3.sender(PAYER).deliver, payment())
        node.until(lambda: node.pool() == 1)
        node.mine()
        first.result(10)
        with closing(Node(anvil_binary, timestamp=1_700_000_000)) as other:
            proxy.upstream = other.anvil.url
            with pytest.raises(ChainError, match="begun anew"):
                w3.sender(PAYER).deliver(payment())
            assert other.pool() == 0


def test_a_nonce_that_another_process_took_is_given_up_for_the_next(
    node: Node, pool: ThreadPoolExecutor
) -> None:
    sending = pool.submit(sender(node).deliver, payment())
    node.until(lambda: node.pool() == 1)
    rich = PAYER.sign_transaction(
        {**payment(701), "nonce": 0, "maxFeePerGas": 10**12, "maxPriorityFeePerGas": 10**10, "chainId": 1337}
    )
    node.w3.eth.send_raw_transaction(rich.raw_transaction)
    node.mine()
    node.until(lambda: node.pool() == 1)
    node.mine()
    assert node.w3.eth.get_transaction(sending.result(10)["transactionHash"])["nonce"] == 1
    assert (received(node.w3), received(node.w3, 701)) == (1, 1)


def test_threads_share_an_account(chain: LocalChain, pool: ThreadPoolExecutor) -> None:
    payer = account(810)
    chain.fund(payer.address)
    first = chain.w3.eth.get_transaction_count(payer.address)
    before = received(chain.w3, 811)
    futures = [pool.submit(chain.w3.sender(payer).deliver, payment(811)) for _ in range(24)]
    receipts = [future.result(60) for future in futures]
    nonces = sorted(chain.w3.eth.get_transaction(r["transactionHash"])["nonce"] for r in receipts)
    assert nonces == list(range(first, first + 24))
    assert received(chain.w3, 811) == before + 24


def test_connections_that_know_nothing_of_each_other_share_an_account(
    chain: LocalChain, pool: ThreadPoolExecutor
) -> None:
    payer = account(820)
    chain.fund(payer.address)
    with closing(RpcServer(chain)) as front:

        def process(number: int) -> None:
            w3 = connect(front.url)
            for _ in range(5):
                w3.sender(payer).deliver(payment(821))

        list(pool.map(process, range(4)))
    assert chain.w3.eth.get_transaction_count(payer.address) == 20
    assert received(chain.w3, 821) == 20


FAULTS: tuple[Fault, ...] = ("late", "500", "429", "half", "hangs up", "hangs up after", "empty", "page")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_transport_is_tried_again_and_nothing_is_mined_twice(
    chain: LocalChain, fault: Fault
) -> None:
    payer, to = account(830), 840 + FAULTS.index(fault)
    chain.fund(payer.address)
    before = received(chain.w3, to)
    with closing(RpcServer(chain)) as front, closing(FaultyProxy(front.url)) as proxy:
        w3 = connect(proxy.url, QUICK)
        proxy.plan(fault, fault, method="eth_sendRawTransaction")
        proxy.plan(fault, method="eth_getTransactionReceipt")
        proxy.plan(fault, method="eth_getTransactionCount")
        proxy.plan(fault, method="eth_getBlockByNumber")
        receipt = w3.sender(payer).deliver(payment(to))
        assert proxy.planned == 0
        assert proxy.asked["eth_sendRawTransaction"] == 3
    assert receipt["status"] == 1
    assert received(chain.w3, to) == before + 1


def test_an_endpoint_that_stays_broken_is_an_error_without_its_secrets(chain: LocalChain) -> None:
    with closing(RpcServer(chain)) as front, closing(FaultyProxy(front.url)) as proxy:
        host = proxy.url.removeprefix("http://")
        w3 = connect(f"http://user:password@{host}/v3/key?token=secret", QUICK)
        proxy.plan(*["500"] * 50)  # type: ignore[list-item]
        with pytest.raises(ChainError, match=rf"{host}: eth_blockNumber: no answer in 7 attempts") as raised:
            translated(lambda: w3.eth.block_number)
        assert not any(word in str(raised.value) for word in ("password", "key", "token", "secret"))
        assert proxy.planned == 43


def test_a_request_that_is_at_fault_itself_is_not_repeated(chain: LocalChain) -> None:
    with closing(RpcServer(chain)) as front, closing(FaultyProxy(front.url)) as proxy:
        w3 = connect(proxy.url, QUICK)
        proxy.plan("404", "404")
        with pytest.raises(ChainError, match="HTTP status 404"):
            translated(lambda: w3.eth.block_number)
        assert proxy.planned == 1


def test_what_a_process_left_on_its_way_is_waited_for(node: Node, pool: ThreadPoolExecutor) -> None:
    before = pool.submit(sender(node, give_up_after=0.2).deliver, payment())
    with pytest.raises(ChainError):
        before.result(10)
    settling = pool.submit(sender(node).settle)
    time.sleep(0.2)
    assert not settling.done()
    node.mine()
    settling.result(10)
    assert received(node.w3) == 1


def test_what_a_process_left_and_is_stuck_is_cancelled(node: Node, pool: ThreadPoolExecutor) -> None:
    before = pool.submit(sender(node, give_up_after=0.2).deliver, payment())
    with pytest.raises(ChainError):
        before.result(10)
    (stuck,) = node.ask("eth_getBlockByNumber", "pending", False)["transactions"]
    settling = pool.submit(sender(node, stuck_after=0.3).settle)
    node.until(lambda: node.ask("eth_getBlockByNumber", "pending", False)["transactions"] != [stuck])
    node.mine()
    settling.result(10)
    assert received(node.w3) == 0


def test_an_error_that_passes_is_waited_out(chain: LocalChain) -> None:
    """As of a node behind a balancer that has not seen the latest block yet."""
    late = [
        {"code": -32000, "message": "header not found"},
        {"code": -32005, "message": "rate limit exceeded"},
    ]

    def lag(method: str, answer: Any) -> Any:
        if method == "eth_getBalance" and late:
            return {"jsonrpc": "2.0", "id": answer["id"], "error": late.pop()}
        return answer

    with closing(RpcServer(chain)) as front, closing(FaultyProxy(front.url)) as proxy:
        proxy.change = lag
        assert received(connect(proxy.url, QUICK), 860) == 0
        assert proxy.asked["eth_getBalance"] == 3


def test_what_was_signed_for_another_chain_is_refused(chain: LocalChain) -> None:
    payer = account(870)
    chain.fund(payer.address)
    for identifier in (1, 61370):
        raw = payer.sign_transaction(
            {
                **payment(871),
                "nonce": 0,
                "maxFeePerGas": 10**12,
                "maxPriorityFeePerGas": 1,
                "chainId": identifier,
            }
        ).raw_transaction
        with pytest.raises(ChainError, match="invalid chain id"):
            translated(lambda raw=raw: chain.w3.eth.send_raw_transaction(raw))  # type: ignore[misc]
    assert chain.w3.eth.get_transaction_count(payer.address) == 0


def test_who_has_no_ether_sends_where_gas_is_free(anvil_binary: Path) -> None:
    """A plain anvil that makes its own blocks, through the backend for any JSON-RPC endpoint."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    free = ["--base-fee", "0", "--gas-price", "0", "--no-priority-fee", "--accounts", "0"]
    with subprocess.Popen(
        [anvil_binary, "--silent", "--port", port, "--chain-id", "61370", *free]
    ) as process:
        try:
            retry_policy = RetryPolicy(retries=8, backoff=0.05)
            chain = RemoteChain.at(f"http://127.0.0.1:{port}", chain_id=61370, retry_policy=retry_policy)
            party = Party.found(chain)  # type: ignore[arg-type]
            party.whole_round()
            assert party.ledger.last_finalized == 1
            assert chain.w3.eth.get_balance(party.coordinator.address) == 0
        finally:
            process.kill()


def test_blocks_sealed_by_authorities_are_read(chain: LocalChain) -> None:
    def seal(method: str, answer: Any) -> Any:
        if method == "eth_getBlockByNumber":
            answer["result"]["extraData"] = "0x" + "ab" * 97
        return answer

    payer = account(850)
    chain.fund(payer.address)
    with closing(RpcServer(chain)) as front, closing(FaultyProxy(front.url)) as proxy:
        proxy.change = seal
        w3 = connect(proxy.url, QUICK)
        assert w3.eth.get_block("latest")["proofOfAuthorityData"] == b"\xab" * 97  # type: ignore[typeddict-item]
        assert w3.sender(payer).deliver(payment(851))["status"] == 1
