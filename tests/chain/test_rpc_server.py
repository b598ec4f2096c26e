"""The chain over HTTP: what a client reads, may do, and cannot break."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from contract_party import LocalChain, Party, account
from web3 import HTTPProvider, Web3
from web3.exceptions import ContractCustomError
from web3.types import RPCEndpoint, RPCResponse

from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.endpoint import RetryingProvider
from fedcxr.chain.retry import RetryPolicy
from fedcxr.chain.rpc_server import SEND_GAS, RpcServer, connect
from fedcxr.errors import ChainError, ContractRejectedError
from fedcxr.ledger.contract import FederationLedger

IMPATIENT = RetryPolicy(retries=1, backoff=0.01)


@pytest.fixture
def server(chain: LocalChain) -> Iterator[RpcServer]:
    server = RpcServer(chain)
    yield server
    server.close()


def address_of(server: RpcServer) -> tuple[str, int]:
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


def post(
    server: RpcServer, body: bytes, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection(*address_of(server), timeout=10)
    try:
        connection.request("POST", "/", body, headers or {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def ask(server: RpcServer, method: object, params: object = ()) -> tuple[int, dict[str, object]]:
    return post(server, json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode())


def test_a_client_reads_what_the_owner_reads(opened: Party, server: RpcServer) -> None:
    opened.ledger.submit([opened.signed(h) for h in opened.hospitals[:2]])
    opened.ledger.submit([opened.signed(opened.hospitals[2], base=b"B" * 32)])
    remote = FederationLedger.attach(connect(server.url), opened.ledger.address)
    assert remote.round(1) == opened.ledger.round(1)
    assert remote.members() == opened.ledger.members()
    assert remote.domain == opened.ledger.domain
    assert remote.views.federation == opened.ledger.views.federation
    assert remote.views.code_difference() is None
    assert [(a, e.name) for a, e in remote.views.rejections(1)] == [(opened.addresses[2], "WrongBase")]
    opened.close()
    opened.finalize({opened.addresses[1]: "ß"})
    assert remote.round(1) == opened.ledger.round(1)


def test_a_view_of_the_contract_is_one_request(
    opened: Party, server: RpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    make_request = RetryingProvider.make_request

    def count(provider: RetryingProvider, method: RPCEndpoint, params: object) -> RPCResponse:
        if provider.url == server.url:  # and not what the server itself asks an anvil
            asked.append(method)
        return make_request(provider, method, params)

    monkeypatch.setattr(RetryingProvider, "make_request", count)
    remote = FederationLedger.attach(connect(server.url), opened.ledger.address)
    asked.clear()
    assert remote.views._connection.call("lastFinalized") == 0
    assert asked == ["eth_call"]


def test_nobody_can_hold_the_chain_with_a_costly_call(opened: Party, server: RpcServer) -> None:
    loop = "0x5b5f56"  # JUMPDEST, PUSH0, JUMP: for ever, until the gas is used
    started = time.perf_counter()
    status, answer = ask(
        server, "eth_call", [{"data": loop, "gas": "0x3938700", "from": opened.chain.faucet}]
    )
    assert status == 200
    assert "error" in answer
    assert time.perf_counter() - started < 5  # 60 million gas took 13 s
    stranger = account(77)
    opened.chain.fund(stranger.address)
    for gas, taken in ((SEND_GAS + 1, False), (50_000, True)):
        signed = stranger.sign_transaction(
            {"to": stranger.address, "value": 0, "gas": gas, "gasPrice": 10**10, "nonce": 0, "chainId": 1337}
        )
        _, answer = ask(server, "eth_sendRawTransaction", [signed.raw_transaction.to_0x_hex()])
        assert ("result" in answer) == taken, answer


def test_blocks_and_receipts_are_a_nodes(opened: Party, server: RpcServer) -> None:
    near, far = opened.chain.w3, Web3(HTTPProvider(server.url))
    for number in (0, "latest"):
        assert dict(far.eth.get_block(number)) == dict(near.eth.get_block(number))
    transaction = near.eth.get_block("latest")["transactions"][0]
    receipts = [dict(w3.eth.get_transaction_receipt(transaction)) for w3 in (near, far)]
    for receipt in receipts:
        receipt.pop("state_root", None)  # type: ignore[call-overload] # eth-tester's own, unknown over HTTP
    assert receipts[0] == receipts[1]
    assert far.eth.get_transaction(transaction)["input"] == near.eth.get_transaction(transaction)["input"]
    assert (far.eth.chain_id, far.net.version) == (1337, "1337")


def test_a_custom_error_is_told_by_name(opened: Party, server: RpcServer) -> None:
    hospital = account(61)
    opened.chain.fund(hospital.address)
    remote = FederationLedger.attach(connect(server.url), opened.ledger.address, hospital)
    with pytest.raises(ContractRejectedError) as raised:
        remote.abort(1, "")
    assert raised.value.name == "NotCoordinator"
    with pytest.raises(ContractCustomError):
        remote.views._connection.contract.function("abortRound")(1, "").call({"from": hospital.address})


def test_a_hospital_submits_for_itself(opened: Party, server: RpcServer) -> None:
    hospital = opened.hospitals[0]
    opened.chain.fund(hospital.address)
    remote = FederationLedger.attach(connect(server.url), opened.ledger.address, hospital)
    remote.submit_direct(opened.signed(hospital))
    assert list(opened.ledger.round(1).accepted) == [hospital.address]
    with pytest.raises(ContractRejectedError, match="AlreadySubmitted"):
        remote.submit_direct(opened.signed(hospital))


def test_who_has_no_ether_is_told_so(opened: Party, server: RpcServer) -> None:
    remote = FederationLedger.attach(connect(server.url), opened.ledger.address, account(4243))
    with pytest.raises(ChainError, match="the chain says"):
        remote.submit_direct(opened.signed(opened.hospitals[0]))


@pytest.mark.parametrize(
    "method",
    [
        "evm_mine",
        "evm_revert",
        "eth_sendTransaction",
        "eth_accounts",
        "debug_traceTransaction",
        "",
        "x" * 5000,
    ],
)
def test_methods_that_are_not_offered_are_refused(opened: Party, server: RpcServer, method: str) -> None:
    height = opened.chain.w3.eth.block_number
    status, answer = ask(server, method)
    assert status == 200
    assert answer["id"] == 7
    assert answer["error"]["code"] == -32601  # type: ignore[index]
    assert opened.chain.w3.eth.block_number == height


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"3",
        b'"x"',
        b"{}",
        b"[" * 100_000,
        b'{"method": 3}',
        b'{"method": ["eth_call"]}',
        b'{"method": "eth_call", "params": {"to": 1}}',
        b'{"method": "eth_call", "params": 3}',
        b'[{"method": "eth_chainId", "params": []}]',
    ],
    ids=lambda body: body[:30].decode("latin-1"),
)
def test_garbage_is_answered_cleanly(server: RpcServer, body: bytes) -> None:
    status, answer = post(server, body)
    assert status == 400
    assert answer["error"]["code"] in (-32700, -32600)  # type: ignore[index]
    assert ask(server, "eth_chainId") == (200, {"jsonrpc": "2.0", "id": 7, "result": "0x539"})


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_call", []),
        ("eth_call", [3]),
        ("eth_call", [{"to": "nonsense"}, "latest"]),
        ("eth_getBlockByNumber", ["nonsense", False]),
        ("eth_getBalance", ["0x1", "latest"]),
        ("eth_getLogs", [{"fromBlock": "x"}]),
        ("eth_getLogs", ["x"]),
        ("eth_sendRawTransaction", ["0x"]),
        ("eth_sendRawTransaction", ["0x1234"]),
        ("eth_sendRawTransaction", ["0x02" + "ff" * 100]),
        ("eth_sendRawTransaction", [None]),
        ("eth_getTransactionReceipt", ["0x12"]),
    ],
)
def test_bad_parameters_are_an_error_and_change_nothing(
    opened: Party, server: RpcServer, method: str, params: list[object]
) -> None:
    height = opened.chain.w3.eth.block_number
    status, answer = ask(server, method, params)
    assert status == 200
    assert "error" in answer
    assert opened.chain.w3.eth.block_number == height
    opened.ledger.submit_direct(opened.signed(opened.hospitals[0]))


def test_what_is_not_there_is_null(server: RpcServer) -> None:
    assert ask(server, "eth_getTransactionReceipt", ["0x" + "12" * 32])[1]["result"] is None
    assert ask(server, "eth_getBlockByNumber", ["0xffffff", False])[1]["result"] is None


def test_a_request_that_is_too_large_is_answered(server: RpcServer) -> None:
    status, answer = post(server, b"x" * (2 << 20))
    assert status == 413
    assert "too large" in str(answer)
    assert ask(server, "eth_chainId")[0] == 200


@pytest.mark.parametrize("length", ["nonsense", "-1", "", "1e3"])
def test_a_length_that_is_none_is_answered(server: RpcServer, length: str) -> None:
    status, _ = post(server, b"", {"Content-Length": length})
    assert status == 411


def test_other_verbs_and_protocols_are_answered(server: RpcServer) -> None:
    with socket.create_connection(address_of(server), timeout=5) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"501" in raw.recv(100)
    with socket.create_connection(address_of(server), timeout=5) as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")
        assert b"400" in raw.recv(1000)
    assert ask(server, "eth_chainId")[0] == 200


def test_many_clients_at_once(opened: Party, server: RpcServer) -> None:
    for hospital in opened.hospitals:
        opened.chain.fund(hospital.address)
    signed = [opened.signed(h) for h in opened.hospitals]

    def client(number: int) -> object:
        hospital = opened.hospitals[number % 3]
        remote = FederationLedger.attach(connect(server.url), opened.ledger.address, hospital)
        if number < 3:
            remote.submit_direct(signed[number])
        return [remote.round(1).number for _ in range(3)]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(client, range(8))) == [[1, 1, 1]] * 8
    assert len(opened.ledger.round(1).accepted) == 3


def test_closing_frees_the_port_and_hangs_up(chain: LocalChain) -> None:
    before = threading.active_count()
    server = RpcServer(chain)
    host, port = address_of(server)
    kept = http.client.HTTPConnection(host, port, timeout=5)
    kept.request("POST", "/", json.dumps({"method": "eth_chainId"}))
    assert json.loads(kept.getresponse().read())["result"] == "0x539"
    server.close()
    with pytest.raises((OSError, http.client.HTTPException)):
        kept.request("POST", "/", json.dumps({"method": "eth_chainId"}))
        kept.getresponse()
    kept.close()
    again = RpcServer(chain, port=port)
    assert again.url == f"http://{host}:{port}"
    with pytest.raises(ChainError, match="cannot listen"):
        RpcServer(chain, port=port)
    again.close()
    with pytest.raises(ChainError, match="no chain answers"):
        connect(again.url, IMPATIENT)
    assert threading.active_count() <= before + 1


def test_a_chain_that_goes_away_is_a_chain_error(party: Party) -> None:
    server = RpcServer(party.chain)
    remote = FederationLedger.attach(connect(server.url, IMPATIENT), party.ledger.address)
    server.close()
    for question in (
        lambda: remote.views.model_digest,
        lambda: remote.round(1),
        remote.members,
        remote.views.code_difference,
        lambda: remote.domain,
        lambda: FederationLedger.attach(remote._w3, party.ledger.address),
    ):
        with pytest.raises(ChainError, match="the chain says"):
            question()


def test_what_a_client_writes_is_on_the_disk_when_it_is_answered(tmp_path: Path) -> None:
    chain = EmbeddedChain(tmp_path / "ledger.sqlite", chain_id=1337)
    party = Party.found(chain)
    party.open()
    hospital = party.hospitals[0]
    chain.fund(hospital.address)
    server = RpcServer(chain)
    FederationLedger.attach(connect(server.url), party.ledger.address, hospital).submit_direct(
        party.signed(hospital)
    )
    assert not chain.db.in_transaction
    server.close()
    chain.close()
