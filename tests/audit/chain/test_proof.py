"""An endpoint that lies about events is found out by the headers of its own chain."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from contract_party import FEDERATION, LocalChain, Party, account, registration
from eth_account.signers.local import LocalAccount
from lying_proxy import LyingProxy

from fedcxr.audit.chain.proof import BlockContent, ChainProof, Difference
from fedcxr.audit.chain.proven_provider import proven
from fedcxr.audit.chain.reading import read_chain
from fedcxr.chain.anvil.chain import AnvilChain
from fedcxr.chain.rpc_server import RpcServer, connect
from fedcxr.errors import ChainError, LedgerError
from fedcxr.ledger.artifact import load_artifact
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.views import FederationViews


@pytest.fixture(scope="module")
def endpoint(chain: LocalChain) -> Iterator[tuple[str, FederationLedger]]:
    """A chain behind JSON-RPC with two finalized rounds, a refused submission and strangers' transactions."""
    ledger = history(Party.found(chain))
    if isinstance(chain, AnvilChain):
        yield chain._anvil.url, ledger  # the node itself, which offers more than our own front
        return
    with closing(RpcServer(chain)) as server:
        yield server.url, ledger


def history(party: Party) -> FederationLedger:
    party.chain.fund(account(77).address)
    for number in range(2):
        party.open()
        party.ledger.submit([party.signed(h) for h in party.hospitals[:2]])
        party.ledger.submit([party.signed(party.hospitals[2], base=b"B" * 32)])
        party.ledger.submit([party.signed(party.hospitals[2])])
        party.close()
        party.finalize()
        send_ether(party, account(77), number)
    return party.ledger


def send_ether(party: Party, sender: LocalAccount, nonce: int) -> None:
    """A block in which the contract has no part, by a transaction of the old kind."""
    w3 = party.chain.w3
    signed = sender.sign_transaction(
        {"to": sender.address, "value": 1, "nonce": nonce, "gas": 21_000, "gasPrice": 10**10, "chainId": 1337}
    )
    w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(signed.raw_transaction))


def read(url: str, address: str) -> tuple[ChainProof, list[Difference]]:
    proof, disagreements = read_chain(connect(url), address)
    return proof, [*proof.differences(), *disagreements]


@pytest.fixture(scope="module")
def honest(endpoint: tuple[str, FederationLedger]) -> ChainProof:
    proof, found = read(endpoint[0], endpoint[1].address)
    assert found == []
    return proof


def test_an_honest_endpoints_events_are_proven_and_read_as_before(
    endpoint: tuple[str, FederationLedger], honest: ChainProof
) -> None:
    url, ledger = endpoint
    assert honest.last - honest.first + 1 == len(honest.headers)
    assert len(honest.blocks) < len(honest.headers)  # of the others the bloom filter says enough
    views = FederationViews.attach(proven(connect(url), honest), ledger.address)
    for number in (1, 2):
        assert views.round(number) == ledger.round(number)
        assert [(a, e.name) for a, e in views.rejections(number)] == [(account(12).address, "WrongBase")]
    assert views.members() == ledger.members()
    assert views.code_difference() is None
    event = views.events("UpdateAccepted")[0]
    assert views.sender(event) == ledger.views.coordinator
    created = honest.creation()
    assert created is not None
    assert (created.sender, created.created) == (ledger.views.coordinator, ledger.address)


def drop(logs: list[Any]) -> list[Any]:
    return logs[:5] + logs[6:]


def reorder(logs: list[Any]) -> list[Any]:
    return [*logs[:4], logs[5], logs[4], *logs[6:]]


def swap_places(logs: list[Any]) -> list[Any]:
    """Two events of one block, or of two, each said to be where the other is."""
    a, b = copy.deepcopy(logs[5]), copy.deepcopy(logs[6])
    for key in ("blockNumber", "blockHash", "transactionHash", "transactionIndex", "logIndex"):
        a[key], b[key] = b[key], a[key]
    return [*logs[:5], b, a, *logs[7:]]


def edit_data(logs: list[Any]) -> list[Any]:
    changed = copy.deepcopy(logs)
    changed[5]["data"] = changed[5]["data"][:-1] + ("0" if changed[5]["data"][-1] != "0" else "1")
    return changed


def edit_topic(logs: list[Any]) -> list[Any]:
    changed = copy.deepcopy(logs)
    changed[5]["topics"][1] = "0x" + "00" * 31 + "09"
    return changed


def add(logs: list[Any]) -> list[Any]:
    more = copy.deepcopy(logs[5])
    more["logIndex"] = "0x63"
    return [*logs, more]


def twice(logs: list[Any]) -> list[Any]:
    return [*logs[:6], logs[5], *logs[6:]]


@pytest.mark.parametrize("lie", [drop, reorder, swap_places, edit_data, edit_topic, add, twice])
def test_events_that_get_logs_drops_moves_changes_or_adds_are_found(
    endpoint: tuple[str, FederationLedger], honest: ChainProof, lie: Callable[[list[Any]], list[Any]]
) -> None:
    url, ledger = endpoint

    def lying(method: str, params: list[Any], result: Any) -> Any:
        return lie(result) if method == "eth_getLogs" and "topics" not in params[0] else result

    with closing(LyingProxy(url, lying)) as proxy:
        proof, found = read(proxy.url, ledger.address)
    assert found
    assert all(difference.where.startswith("eth_getLogs") for difference in found)
    assert proof == honest  # what is read afterwards comes from the receipts, not from the lie


def receipts_without_an_event(method: str, params: list[Any], result: Any) -> Any:
    if method in ("eth_getBlockReceipts", "eth_getTransactionReceipt"):
        result = copy.deepcopy(result)
        for receipt in result if isinstance(result, list) else [result]:
            receipt["logs"] = receipt["logs"][:-1] if len(receipt["logs"]) > 1 else receipt["logs"]
    if method == "eth_getLogs" and "topics" not in params[0]:
        kept: dict[str, Any] = {}
        for log in result:
            kept.setdefault(log["transactionHash"], []).append(log)
        result = [log for logs in kept.values() for log in (logs[:-1] if len(logs) > 1 else logs)]
    return result


def no_bloom(method: str, params: list[Any], result: Any) -> Any:
    """A block's events denied altogether: in its bloom filter, and in the list."""
    if method == "eth_getBlockByNumber" and params[0] == hex(9):
        result = {**result, "logsBloom": "0x" + "00" * 256}
    if method == "eth_getLogs" and "topics" not in params[0]:
        result = [log for log in result if log["blockNumber"] != hex(9)]
    return result


def other_receipts_root(method: str, params: list[Any], result: Any) -> Any:
    """The events of a block changed in its receipts, and its header's root made to fit no better."""
    if method == "eth_getBlockByNumber" and params[0] == hex(8):
        result = {**result, "receiptsRoot": "0x" + "11" * 32}
    return result


def missing_block(method: str, params: list[Any], result: Any) -> Any:
    """Block 8 as if it were block 7 again."""
    if method == "eth_getBlockByNumber" and params[0] == hex(8):
        result = {**result, "parentHash": "0x" + "22" * 32}
    return result


@pytest.mark.parametrize("lie", [receipts_without_an_event, no_bloom, other_receipts_root, missing_block])
def test_headers_and_receipts_that_do_not_fit_together_are_found(
    endpoint: tuple[str, FederationLedger], lie: Callable[[str, list[Any], Any], Any]
) -> None:
    url, ledger = endpoint
    with closing(LyingProxy(url, lie)) as proxy:
        found = read(proxy.url, ledger.address)[1]
    assert any(difference.where.startswith("block ") for difference in found), found


def test_a_transaction_that_is_not_the_blocks_is_found(endpoint: tuple[str, FederationLedger]) -> None:
    url, ledger = endpoint

    def lying(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getTransactionByHash":
            return {**result, "value": "0x5"}
        return result

    with closing(LyingProxy(url, lying)) as proxy:
        proof, disagreements = read_chain(connect(proxy.url), ledger.address)
        found = [*proof.differences(), *disagreements]
    assert any("transactions" in difference.where for difference in found)


def test_another_head_than_the_auditor_knows_is_found(honest: ChainProof) -> None:
    assert honest.differences(honest.head) == []
    shorter = replace(honest, headers=honest.headers[:-1], head=honest.hash_of(honest.last - 1))
    assert shorter.differences() == []  # an older head is a chain too: only a hash from elsewhere tells
    assert [d.where for d in shorter.differences(honest.head)] == ["the chain's head"]


def test_a_contract_that_other_code_created_is_found(honest: ChainProof) -> None:
    artifact = load_artifact()
    other = replace(artifact, bytecode=artifact.bytecode[:-2] + "00")
    assert [d.where for d in honest.differences(artifact=other)] == ["the contract"]


def test_any_changed_part_of_a_proof_is_found(honest: ChainProof) -> None:
    number = sorted(honest.blocks)[3]
    content = honest.blocks[number]

    def flipped(data: bytes, place: int) -> bytes:
        changed = bytearray(data)
        changed[place] ^= 1
        return bytes(changed)

    broken = [
        replace(honest, headers=(*honest.headers[:2], *honest.headers[3:])),
        replace(honest, headers=tuple(reversed(honest.headers))),
        replace(honest, headers=()),
        replace(honest, head=bytes(32)),
        replace(honest, blocks={k: v for k, v in honest.blocks.items() if k != number}),
        replace(honest, blocks={**honest.blocks, 9999: content}),
        replace(honest, blocks={**honest.blocks, number: BlockContent((), content.receipts)}),
        replace(honest, contract=account(5).address),
        replace(honest, court=account(5).address),
    ]
    for place in range(0, len(honest.headers[4]), 7):
        headers = (*honest.headers[:4], flipped(honest.headers[4], place), *honest.headers[5:])
        broken.append(replace(honest, headers=headers))
    for place in range(0, len(content.receipts[0]), 11):
        receipts = (flipped(content.receipts[0], place), *content.receipts[1:])
        broken.append(replace(honest, blocks={**honest.blocks, number: replace(content, receipts=receipts)}))
    for proof in broken:
        assert proof.differences()


def test_an_address_without_a_federation_is_refused(endpoint: tuple[str, FederationLedger]) -> None:
    with pytest.raises(LedgerError, match="no federation's contract"):
        read_chain(connect(endpoint[0]), "0x" + "11" * 20)


def test_an_endpoint_that_talks_nonsense_is_an_error_that_says_so(
    endpoint: tuple[str, FederationLedger],
) -> None:
    url, ledger = endpoint

    def lying(method: str, params: list[Any], result: Any) -> Any:
        return {**result, "gasUsed": None} if method == "eth_getBlockByNumber" else result

    with closing(LyingProxy(url, lying)) as proxy, pytest.raises(ChainError, match="gasUsed"):
        read_chain(connect(proxy.url), ledger.address)


def test_the_federation_is_the_partys(endpoint: tuple[str, FederationLedger]) -> None:
    assert endpoint[1].views.federation == FEDERATION == registration(account(10)).federation
