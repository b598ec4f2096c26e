"""A contract's proven events in words: names and values by the ABI, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hexbytes import HexBytes
from web3 import Web3
from web3.types import LogReceipt

from fedcxr.audit.chain.proof import ChainProof, ProvenLog
from fedcxr.errors import ChainError
from fedcxr.ledger.abi import read_any_text
from fedcxr.ledger.artifact import Interface, signature_hash
from fedcxr.ledger.deployed_contract import DeployedContract


def decode_events(proof: ChainProof, artifact: Interface) -> list[dict[str, Any]]:
    """Every event of the contract: where it stands, its name and its values, bytes in hexadecimal.

    Raises:
        ChainError: one is no event of this ABI.
    """
    w3 = Web3()
    read_any_text(w3)
    contract = DeployedContract(w3, proof.contract, artifact.abi)
    known = {signature_hash(entry): (entry["name"], event) for entry, event in contract.events()}
    decoded = []
    for log in proof.logs():
        name, event = known.get(log.log.topics[0] if log.log.topics else b"", ("", None))
        if event is None:
            raise ChainError(f"block {log.block} log {log.index}: an event that the contract does not have.")
        try:
            values = event.process_log(_receipt(log))["args"]
        except Exception as error:  # web3 and eth-abi raise several types of their own
            raise ChainError(f"block {log.block} log {log.index}: {name}: {error!s:.200}") from None
        decoded.append(
            {
                "block": log.block,
                "log": log.index,
                "transaction": "0x" + log.transaction.hex(),
                "event": name,
                "values": {key: _plain(value) for key, value in values.items()},
            }
        )
    return decoded


def _receipt(log: ProvenLog) -> LogReceipt:
    return {
        "address": Web3.to_checksum_address(log.log.address),
        "topics": [HexBytes(topic) for topic in log.log.topics],
        "data": HexBytes(log.log.data),
        "blockNumber": log.block,  # type: ignore[typeddict-item]
        "blockHash": HexBytes(log.block_hash),
        "transactionHash": HexBytes(log.transaction),
        "transactionIndex": log.transaction_index,
        "logIndex": log.index,
        "removed": False,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return "0x" + bytes(value).hex()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value
