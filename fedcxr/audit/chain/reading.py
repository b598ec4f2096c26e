"""Fetch the proof of a contract's events from a JSON-RPC endpoint, and hold the endpoint to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from eth_utils.address import to_canonical_address
from eth_utils.crypto import keccak
from web3 import Web3
from web3.providers.eth_tester import EthereumTesterProvider

from fedcxr.audit.chain.block_content import encode_receipt, encode_transaction
from fedcxr.audit.chain.header import Header
from fedcxr.audit.chain.proof import BlockContent, ChainProof, Difference, court_in
from fedcxr.audit.chain.rpc_values import Request, octets, quantity, requests
from fedcxr.errors import ChainError, LedgerError
from fedcxr.ledger.artifact import known_interface

Progress = Callable[[str, int, int], None]  # what, done, total
_CONNECTIONS = 4
_LARGEST = 1 << 30  # bytes of headers and contents; a million and a half blocks
_MOST_TRANSACTIONS = 1 << 14  # of one block; a gas limit of 300 million allows as many
_MOST_EVENTS = 1 << 17  # that eth_getLogs may say there are, beyond those that are proven
_SPAN = 5_000  # blocks in one eth_getLogs; many nodes refuse more than ten thousand


def read_chain(
    w3: Web3, contract: str, progress: Progress = lambda what, done, total: None
) -> tuple[ChainProof, list[Difference]]:
    """The proof of a contract's events up to the present head; and where ``eth_getLogs`` says otherwise.

    Whether the proof holds, :meth:`ChainProof.differences` says.

    Raises:
        LedgerError: no contract of ours at this address, as far as the endpoint says.
        ChainError: the endpoint does not answer, or with nonsense.
    """
    request = requests(w3)
    address = Web3.to_checksum_address(contract)
    try:
        head = _block(request, "latest")
        last, head_hash = quantity(head["number"]), octets(head["hash"])
        first, court = _creation(request, address, last)
        headers: list[bytes] = []
        blocks: dict[int, BlockContent] = {}
        left = _LARGEST
        watched = [to_canonical_address(account) for account in (address, court)]
        for number, header in zip(range(first, last + 1), _headers(w3, request, first, last), strict=True):
            progress("blocks", number - first, last + 1 - first)
            left -= len(header.raw)
            if header.number != number:
                raise ChainError(f"asked for block {number}, the endpoint gives block {header.number}.")
            headers.append(header.raw)
            if number == first or any(map(header.admits, watched)):
                blocks[number] = _content(request, number)
                left -= sum(map(len, (*blocks[number].transactions, *blocks[number].receipts)))
            if left < 0:
                raise ChainError(
                    f"the endpoint's chain has more than {_LARGEST:,} bytes up to block {number:,}."
                )
        progress("blocks", last + 1 - first, last + 1 - first)
        chain_id = quantity(request("eth_chainId"))
        proof = ChainProof(chain_id, address, court, head_hash, tuple(headers), blocks)
        return proof, list(_disagreements(request, proof))
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise ChainError(
            f"the endpoint's answers cannot be read: {type(error).__name__}: {error!s:.200}"
        ) from None


def _block(request: Request, number: int | str, *, full: bool = False) -> Mapping[str, Any]:
    named = hex(number) if isinstance(number, int) else number
    block = request("eth_getBlockByNumber", named, full)
    if not isinstance(block, Mapping):
        raise ChainError(f"the chain has no block {number}, though its head lies after it.")
    return block


def _creation(request: Request, address: str, last: int) -> tuple[int, str]:
    """Where the contract is said to have been created, and its court; the proof is held to both."""
    topic = "0x" + known_interface().topic("FederationCreated").hex()
    wanted = {"address": [address], "topics": [topic], "fromBlock": "0x0", "toBlock": hex(last)}
    found = request("eth_getLogs", wanted)
    if not found:
        raise LedgerError(f"no federation's contract at {address}: the chain has no record of its creation.")
    return quantity(found[0]["blockNumber"]), court_in(octets(found[0]["data"]))


def _headers(w3: Web3, request: Request, first: int, last: int) -> Iterator[Header]:
    """Headers in order; over HTTP several requests are on their way at once."""

    def fetch(number: int) -> Header:
        return Header.from_json(_block(request, number))

    numbers = range(first, last + 1)
    if isinstance(w3.provider, EthereumTesterProvider):
        yield from map(fetch, numbers)
        return
    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        for start in range(first, last + 1, 256):  # a window: what is fetched waits in memory
            yield from threads.map(fetch, range(start, min(start + 256, last + 1)))


def _content(request: Request, number: int) -> BlockContent:
    block = _block(request, number)
    if len(block["transactions"]) > _MOST_TRANSACTIONS:
        raise ChainError(f"block {number:,} has more than {_MOST_TRANSACTIONS:,} transactions.")
    hashes = ["0x" + octets(item).hex() for item in block["transactions"]]
    transactions = [encode_transaction(_known(request("eth_getTransactionByHash", h), h)) for h in hashes]
    receipts: Any = None
    with contextlib.suppress(ChainError):  # not every node offers it
        receipts = request("eth_getBlockReceipts", hex(number))
    if not isinstance(receipts, list) or len(receipts) != len(hashes):
        receipts = [_known(request("eth_getTransactionReceipt", h), h) for h in hashes]
    return BlockContent(tuple(transactions), tuple(encode_receipt(receipt) for receipt in receipts))


def _known(found: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise ChainError(f"the chain does not know the transaction {what} of a block of its own.")
    return found


def _disagreements(request: Request, proof: ChainProof) -> Iterator[Difference]:
    """Where ``eth_getLogs`` is not what the blocks' own receipts hold."""
    proven = [
        (log.block, log.index, "0x" + log.transaction.hex(), log.log.topics, log.log.data)
        for log in proof.logs(proof.contract, proof.court)
    ]
    said: list[tuple[int, int, str, tuple[bytes, ...], bytes]] = []
    for start in range(proof.first, proof.last + 1, _SPAN):
        end = min(start + _SPAN - 1, proof.last)
        wanted = {"address": [proof.contract, proof.court], "fromBlock": hex(start), "toBlock": hex(end)}
        for log in request("eth_getLogs", wanted) or ():
            topics = tuple(octets(topic) for topic in log["topics"])
            place = (quantity(log["blockNumber"]), quantity(log["logIndex"]))
            transaction = "0x" + octets(log["transactionHash"]).hex()
            said.append((*place, transaction, topics, octets(log["data"])))
        if len(said) > len(proven) + _MOST_EVENTS:
            raise ChainError(f"eth_getLogs says {len(said):,} events where {len(proven):,} are proven.")
    names = {topic: event["name"] for topic, event in known_interface().events.items()}

    def shown(event: tuple[int, int, str, tuple[bytes, ...], bytes]) -> str:
        _, _, transaction, topics, data = event
        name = names.get(topics[0], "an unknown event") if topics else "an event without a name"
        return f"{name} of {transaction[:18]}…, {len(data)} bytes, keccak 0x{keccak(data).hex()[:16]}…"

    for event in proven:
        if event not in said:
            where = f"eth_getLogs, block {event[0]} log {event[1]}"
            instead = [other for other in said if other[:2] == event[:2]]
            yield Difference(where, shown(event), shown(instead[0]) if instead else "no such event")
    places = {event[:2] for event in proven}
    for event in said:
        if event not in proven and event[:2] not in places:
            where = f"eth_getLogs, block {event[0]} log {event[1]}"
            yield Difference(where, "no such event: the block's receipts have none", shown(event))
    if sorted(said) == proven != said or len(set(said)) != len(said):
        yield Difference("eth_getLogs", "the events in the order of their blocks, each once", "another order")
