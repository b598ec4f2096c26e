"""A federation's contract as it was founded: what never changes, and whether it is what it should be."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

from web3 import Web3
from web3.types import BlockIdentifier

from fedcxr.errors import LedgerError
from fedcxr.ledger.artifact import load_artifact
from fedcxr.ledger.founding import ADMISSIONS, RECORDINGS, WEIGHTINGS, Founding
from fedcxr.ledger.signing import Domain
from fedcxr.ledger.transaction import translated


class FoundedContract:
    """A connection to one federation's contract, and the rules that it was founded with."""

    def __init__(self, w3: Web3, address: str) -> None:
        self._w3 = w3
        self._contract = w3.eth.contract(address=Web3.to_checksum_address(address), abi=load_artifact().abi)

    @classmethod
    def attach(cls, w3: Web3, address: str) -> Self:
        """An existing federation.

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
        return str(self._contract.address)

    @property
    def w3(self) -> Web3:
        """The connection."""
        return self._w3

    @cached_property
    def domain(self) -> Domain:
        """EIP-712 domain that members sign for."""
        return Domain(translated(lambda: self._w3.eth.chain_id), self.address)

    @cached_property
    def federation(self) -> bytes:
        return bytes(self._call("federation"))

    @cached_property
    def layout_digest(self) -> bytes:
        return bytes(self._call("layoutDigest"))

    @cached_property
    def config_digest(self) -> bytes:
        return bytes(self._call("configDigest"))

    @cached_property
    def genesis_digest(self) -> bytes:
        return bytes(self._call("genesisDigest"))

    @cached_property
    def weighting(self) -> str:
        """One of :data:`~fedcxr.ledger.founding.WEIGHTINGS`; the same for every round."""
        return WEIGHTINGS[self._call("weighting")]

    @cached_property
    def admission(self) -> str:
        """One of :data:`~fedcxr.ledger.founding.ADMISSIONS`."""
        return ADMISSIONS[self._call("admission")]

    @cached_property
    def recording(self) -> str:
        """One of :data:`~fedcxr.ledger.founding.RECORDINGS`."""
        return RECORDINGS[self._call("recording")]

    @cached_property
    def open_updates(self) -> bool:
        """Whether updates are plain vectors of the ring, which anyone can add."""
        return bool(self._call("openUpdates"))

    @cached_property
    def update_size(self) -> int:
        """Bytes of a vector of the ring."""
        return int(self._call("updateSize"))

    @cached_property
    def committee_size(self) -> int:
        """Validators a round; 0 where an accepted update counts."""
        return int(self._call("committeeSize"))

    @cached_property
    def reward_budget(self) -> int:
        """Credits a round."""
        return int(self._call("rewardBudget"))

    @cached_property
    def coordinator_key_digest(self) -> bytes:
        return bytes(self._call("coordinatorKeyDigest"))

    @cached_property
    def auditor_key_digest(self) -> bytes:
        """32 zero bytes when there is no auditor."""
        return bytes(self._call("auditorKeyDigest"))

    @cached_property
    def founding(self) -> Founding:
        """Everything that the contract was founded with, from its first event.

        Raises:
            LedgerError: the event is not there.
        """
        created = self.events("FederationCreated")
        if len(created) != 1:
            raise LedgerError(f"{self.address}: no record of its creation.")
        return Founding.from_tuple(list(created[0]["args"]["founding"].values()))

    @cached_property
    def court(self) -> str:
        """Address of the contract that holds the bond and judges challenges."""
        return str(self._call("court"))

    def code_difference(self) -> str | None:
        """What of the contract is not the artifact's: its code, or how it came to be; None when nothing.

        The code alone would prove little: other initialisation code may write any storage and any immutable,
        and then leave the same code behind. So the transaction that created the contract must carry the
        artifact's bytecode; what follows there are the constructor's arguments, which the views show.
        """
        artifact = load_artifact()
        expected = bytearray(bytes.fromhex(artifact.deployed_bytecode[2:]))
        found = bytearray(translated(lambda: self._w3.eth.get_code(self._contract.address)))
        if len(found) != len(expected):
            return f"{len(found)} bytes instead of {len(expected)}"
        for start, length in artifact.immutables:
            expected[start : start + length] = found[start : start + length]
        if found != expected:
            return f"other code from byte {next(i for i, b in enumerate(found) if b != expected[i])} on"
        created = self.events("FederationCreated")
        if len(created) != 1:
            return "no record of its creation"
        transaction = created[0]["transactionHash"]
        receipt = translated(lambda: self._w3.eth.get_transaction_receipt(transaction))
        if receipt["contractAddress"] != self.address:
            return "created by another contract"
        code = bytes.fromhex(artifact.bytecode[2:])
        if not bytes(translated(lambda: self._w3.eth.get_transaction(transaction))["input"]).startswith(code):
            return "created by other code, which may have written anything into its storage"
        return None

    def events(self, name: str, number: int | None = None, block: int | None = None) -> list[Any]:
        """The contract's events of a kind, of one round or of all, up to a block, by default the latest."""
        event = self._contract.events[name]()
        to = "latest" if block is None else block
        wanted = {} if number is None else {"round": number}
        return translated(lambda: list(event.get_logs(from_block=0, to_block=to, argument_filters=wanted)))

    def _call(self, name: str, *arguments: object, block: int | None = None) -> Any:
        at: BlockIdentifier = "latest" if block is None else block
        return translated(lambda: self._contract.functions[name](*arguments).call(block_identifier=at))
