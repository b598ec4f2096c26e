"""A connection to a chain whose events come from their proof, and the rest from the endpoint, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from web3 import Web3
from web3.middleware import ExtraDataToPOAMiddleware
from web3.providers.base import BaseProvider
from web3.types import RPCEndpoint, RPCResponse

from fedcxr.audit.chain.proof import ChainProof, ProvenLog
from fedcxr.audit.chain.rpc_values import octets
from fedcxr.errors import ChainError

_NOBODY = "0x" + "00" * 20


class ProvenProvider(BaseProvider):
    """Answers with events, blocks' numbers, hashes and times, and who sent what from a :class:`ChainProof`.

    A transaction's sender is recovered from its own bytes, which the proof has; of a transaction that it
    lacks nobody is the sender. Everything is read as of the proof's head, whatever is mined meanwhile. What
    the contract's storage holds is still the word of ``beyond``, which answers the rest.
    """

    def __init__(self, proof: ChainProof, beyond: Callable[[RPCEndpoint, Any], RPCResponse]) -> None:
        super().__init__()
        self._beyond = beyond
        self.proof = proof

    @cached_property
    def _logs(self) -> list[ProvenLog]:
        return self.proof.logs(self.proof.contract, self.proof.court)

    @cached_property
    def _logs_by_subject(self) -> dict[bytes, list[ProvenLog]]:
        """By their second topic, which for most is a round's number."""
        found: dict[bytes, list[ProvenLog]] = {}
        for log in self._logs:
            if len(log.log.topics) > 1:
                found.setdefault(log.log.topics[1], []).append(log)
        return found

    def _candidates(self, criteria: Mapping[str, Any]) -> list[ProvenLog]:
        topics: Any = criteria.get("topics") or []
        if len(topics) > 1 and isinstance(topics[1], str):
            return self._logs_by_subject.get(octets(topics[1]), [])
        return self._logs

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        if method == "eth_getLogs":
            found = [log for log in self._candidates(params[0]) if _wanted(log, params[0], self.proof)]
            return _result([_json(log) for log in found])
        if method == "eth_blockNumber":
            return _result(hex(self.proof.last))
        if method == "eth_chainId":
            return _result(hex(self.proof.chain_id))
        if method == "eth_getTransactionByHash":
            return _result(self._transaction(octets(params[0])))
        head = hex(self.proof.last)
        pinned = [head if p in ("latest", "pending", "safe", "finalized") else p for p in params]
        response = self._beyond(method, pinned)
        return self._known(pinned[0], response) if method == "eth_getBlockByNumber" else response

    def _known(self, block: Any, response: RPCResponse) -> RPCResponse:
        """A block with the hash and the time that its header proves, where the proof has its header."""
        number = _place(block, self.proof)
        if not self.proof.first <= number <= self.proof.last:
            return response
        digest, time = self.proof.hash_of(number), self.proof.timestamp(number)
        proven = {"hash": "0x" + digest.hex(), "timestamp": hex(time)}
        return _result({**(response.get("result") or {}), "number": block, **proven})

    def _transaction(self, digest: bytes) -> dict[str, Any]:
        found = self.proof.sent(digest)
        sender, data = (found.sender, found.data) if found is not None else (_NOBODY, b"")
        return {"hash": "0x" + digest.hex(), "from": sender, "input": "0x" + data.hex()}


def proven(w3: Web3, proof: ChainProof) -> Web3:
    """A connection to the chain of ``w3``, with its events proven."""
    provider: Any = w3.provider
    return _over(proof, provider.make_request)


def alone(proof: ChainProof) -> Web3:
    """A connection to what a proof holds and to nothing else; any other question is a ChainError."""

    def nobody(method: RPCEndpoint, params: Any) -> RPCResponse:
        del params
        raise ChainError(f"{method}: a proof of events does not say.")

    return _over(proof, nobody)


def _over(proof: ChainProof, beyond: Callable[[RPCEndpoint, Any], RPCResponse]) -> Web3:
    over = Web3(ProvenProvider(proof, beyond))
    over.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    return over


def _wanted(log: ProvenLog, criteria: Mapping[str, Any], proof: ChainProof) -> bool:
    first, last = _place(criteria.get("fromBlock"), proof), _place(criteria.get("toBlock"), proof)
    if not first <= log.block <= last:
        return False
    addresses = criteria.get("address") or proof.contract
    addresses = [addresses] if isinstance(addresses, str) else addresses
    if "0x" + log.log.address.hex() not in [address.lower() for address in addresses]:
        return False
    for place, topic in enumerate(criteria.get("topics") or ()):
        allowed = topic if isinstance(topic, Sequence) and not isinstance(topic, str) else [topic]
        if topic is None or None in allowed:
            continue
        if place >= len(log.log.topics) or log.log.topics[place].hex() not in [
            str(one).removeprefix("0x").lower() for one in allowed
        ]:
            return False
    return True


def _place(block: Any, proof: ChainProof) -> int:
    if block in (None, "earliest"):
        return 0 if block else proof.last
    if isinstance(block, str) and not block.startswith("0x"):
        return proof.last
    return int(block, 16) if isinstance(block, str) else int(block)


def _json(log: ProvenLog) -> dict[str, Any]:
    return {
        "address": "0x" + log.log.address.hex(),
        "topics": ["0x" + topic.hex() for topic in log.log.topics],
        "data": "0x" + log.log.data.hex(),
        "blockNumber": hex(log.block),
        "blockHash": "0x" + log.block_hash.hex(),
        "transactionHash": "0x" + log.transaction.hex(),
        "transactionIndex": hex(log.transaction_index),
        "logIndex": hex(log.index),
        "removed": False,
    }


def _result(value: Any) -> RPCResponse:
    return {"jsonrpc": "2.0", "id": 1, "result": value}
