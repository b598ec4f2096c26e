"""A connection to one federation's contract: calls, events, and which artifact's contract it is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from web3 import Web3
from web3.datastructures import AttributeDict
from web3.types import BlockIdentifier, FilterParams

from fedcxr.errors import LedgerError
from fedcxr.ledger.abi import read_any_text
from fedcxr.ledger.artifact import (
    known_artifacts,
    known_interface,
    load_artifact,
    signature_hash,
)
from fedcxr.ledger.deployed_contract import DeployedContract
from fedcxr.ledger.seats import with_numbers
from fedcxr.ledger.transaction import translated


class ContractConnection:
    """Calls the contract at one address of a chain; errors of web3 are raised as those of fedcxr."""

    def __init__(self, w3: Web3, address: str) -> None:
        """Connect without asking whether anything is there.

        Args:
            w3: the chain.
            address: of the contract.
        """
        read_any_text(w3)
        self.w3 = w3
        self.contract = DeployedContract(w3, address, known_interface().abi)

    @classmethod
    def attach(cls, w3: Web3, address: str) -> ContractConnection:
        """Connect to a contract that is there.

        Raises:
            LedgerError: there is no contract at this address.
            ChainError: the chain does not answer.
        """
        found = Web3.is_address(address) and translated(
            lambda: w3.eth.get_code(Web3.to_checksum_address(address))
        )
        if not found:
            raise LedgerError(f"no contract at {address}.")
        return cls(w3, address)

    @property
    def address(self) -> str:
        return self.contract.address

    def call(self, name: str, *arguments: object, block: int | None = None) -> Any:
        """What a view of the contract returns, at a block, by default the latest.

        Raises:
            ContractRejectedError: the contract reverted.
            ChainError: the chain does not answer.
        """
        at: BlockIdentifier = "latest" if block is None else block
        return translated(lambda: self.contract.function(name)(*arguments).call(block_identifier=at))

    def events(self, name: str, block: int | None = None) -> list[Any]:
        """The contract's events of a name up to a block, by default the latest, decoded."""
        topics = ["0x" + topic.hex() for topic in known_interface().topics(name)]
        logs = self.logs(0, block, [topics if len(topics) > 1 else topics[0]])
        return [event for log in logs if (event := self.decoded(log)) is not None]

    def events_of_round(self, number: int, block: int | None = None) -> list[Any]:
        """The contract's events of a round up to a block, by default the latest, decoded, in their order."""
        logs = self.logs(0, block, [None, "0x" + number.to_bytes(32, "big").hex()])
        return [event for log in logs if (event := self.decoded(log)) is not None]

    def logs(
        self, first: int, last: int | None, topics: Sequence[str | list[str] | None] = ()
    ) -> Sequence[Any]:
        """The contract's events in these blocks, as the chain has them."""
        to: BlockIdentifier = "latest" if last is None else last
        asked: FilterParams = {"address": self.contract.address, "fromBlock": first, "toBlock": to}
        if topics:
            asked["topics"] = list(topics)
        return translated(lambda: self.w3.eth.get_logs(asked))

    def decoded(self, log: Any) -> Any:
        """An event as the ABI has it, a set of seats as a number; None where the ABI does not know it."""
        decode = self._decoders.get(log["topics"][0])
        if decode is None:
            return None
        event = decode(log)
        return AttributeDict({**event, "args": AttributeDict(with_numbers(event["args"]))})

    @cached_property
    def artifact(self) -> str | None:
        """Name of the known artifact whose contract this is, by its code; None where it is none's.

        Artifacts whose courts differ can have one code of the contract: what created it tells which it is.
        """
        alike = [name for name, known in known_artifacts().items() if known.created(self._code)]
        if len(alike) < 2:
            return next(iter(alike), None)
        return next((name for name in alike if known_artifacts()[name].founds(self._creation)), alike[0])

    def code_difference(self) -> str | None:
        """How the contract differs from every known artifact, in code or in origin; None when it does not.

        The code alone would prove little: other initialisation code may write any storage and any immutable,
        and then leave the same code behind. So the transaction that created the contract must carry the
        bytecode of the same artifact; what follows there are the constructor's arguments, which the views
        show.
        """
        return self._code_difference

    @cached_property
    def _code_difference(self) -> str | None:
        if self.artifact is None:
            return load_artifact().code_difference(self._code)
        if self._created_in is None:
            return "no record of its creation"
        receipt = translated(lambda: self.w3.eth.get_transaction_receipt(self._created_in))
        if receipt["contractAddress"] != self.address:
            return "created by another contract"
        if not known_artifacts()[self.artifact].founds(self._creation):
            return "created by other code, which may have written anything into its storage"
        return None

    @cached_property
    def _created_in(self) -> Any:
        """Hash of the transaction in which the contract says it was created; None where it is not one."""
        created = self.events("FederationCreated")
        return created[0]["transactionHash"] if len(created) == 1 else None

    @cached_property
    def _creation(self) -> bytes:
        """What that transaction ran: code, and the constructor's arguments; empty without one."""
        if self._created_in is None:
            return b""
        return bytes(translated(lambda: self.w3.eth.get_transaction(self._created_in))["input"])

    @cached_property
    def _code(self) -> bytes:
        return bytes(translated(lambda: self.w3.eth.get_code(self.contract.address)))

    @cached_property
    def _decoders(self) -> dict[Any, Any]:
        """Decoder of each of the contract's events by its topic."""
        return {signature_hash(entry): event.process_log for entry, event in self.contract.events()}
