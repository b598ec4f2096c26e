"""What can be read of a federation's contract, typed; an auditor and a hospital need no more."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

from web3 import Web3
from web3.types import BlockIdentifier

from fedcxr.errors import ContractRejectedError, LedgerError
from fedcxr.ledger.artifact import load_artifact
from fedcxr.ledger.protocol import AcceptedUpdate, HospitalView, RoundView, Status
from fedcxr.ledger.signing import Domain
from fedcxr.ledger.transaction import decode_error, translated

_STATUS: tuple[Status | None, ...] = (None, "open", "finalized", "aborted")
_ZERO = bytes(32)
WEIGHTINGS = ("samples", "uniform")
"""Names of the contract's enum ``Weighting``, in its order."""


class FederationViews:
    """A connection to one federation's contract that only reads."""

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

    @cached_property
    def domain(self) -> Domain:
        """EIP-712 domain that hospitals sign for."""
        return Domain(translated(lambda: self._w3.eth.chain_id), self.address)

    @cached_property
    def coordinator(self) -> str:
        return str(self._call("coordinator"))

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
        """One of :data:`WEIGHTINGS`; the same for every round."""
        return WEIGHTINGS[self._call("weighting")]

    @cached_property
    def coordinator_key_digest(self) -> bytes:
        return bytes(self._call("coordinatorKeyDigest"))

    @cached_property
    def auditor_key_digest(self) -> bytes:
        """32 zero bytes when there is no auditor."""
        return bytes(self._call("auditorKeyDigest"))

    @property
    def model_digest(self) -> bytes:
        """Of the model that the next round starts from."""
        return bytes(self._call("modelDigest"))

    @property
    def last_finalized(self) -> int:
        return int(self._call("lastFinalized"))

    @property
    def open_round_number(self) -> int:
        """0 when no round is open."""
        return int(self._call("openRoundNumber"))

    def hospitals(self) -> list[HospitalView]:
        """All registered hospitals, in the order of registration."""
        views = []
        for address in self._call("hospitals"):
            samples, key_digest = self._call("hospitalOf", address)
            views.append(HospitalView(address, samples, bytes(key_digest)))
        return views

    def round(self, number: int) -> RoundView:
        """The latest attempt of a round.

        Raises:
            LedgerError: it was never opened.
        """
        # Read at one block: through RPC the coordinator may write in between.
        block = translated(lambda: self._w3.eth.block_number)
        status, attempt, deadline, base, config_digest, aggregate_root, model_digest = self._call(
            "roundOf", number, block=block
        )
        name = _STATUS[status]
        if name is None:
            raise LedgerError(f"round {number} was never opened.")
        participants, places = self._call("placesOf", number, block=block)
        weights = {address: place[1] for address, place in zip(participants, places, strict=True)}
        roots = {a: bytes(p[2]) for a, p in zip(participants, places, strict=True) if bytes(p[2]) != _ZERO}
        finalized = self.events("RoundFinalized", number, block) if name == "finalized" else []
        return RoundView(
            number=number,
            attempt=attempt,
            base=bytes(base),
            config_digest=bytes(config_digest),
            deadline=deadline,
            participants=tuple(participants),
            weights=weights,
            accepted=self._accepted(number, roots, block),
            status=name,
            aggregate_root=bytes(aggregate_root),
            model_digest=bytes(model_digest),
            included=tuple(finalized[-1]["args"]["included"]) if finalized else (),
            excluded={
                e["args"]["hospital"]: e["args"]["reason"]
                for e in self.events("UpdateExcluded", number, block)
            }
            if name == "finalized"
            else {},
        )

    def refusals(self, number: int) -> dict[str, list[bytes]]:
        """Digests that each hospital says it was handed instead of a round's base, none twice."""
        refusals: dict[str, list[bytes]] = {}
        for event in self.events("BaseRefused", number):
            seen, said = bytes(event["args"]["seen"]), refusals.setdefault(event["args"]["hospital"], [])
            if seen not in said:
                said.append(seen)
        return refusals

    def rejections(self, number: int) -> list[tuple[str, ContractRejectedError]]:
        """Submissions to a round that the contract rejected in batches: hospital and reason, in order."""
        events = self.events("UpdateRejected", number)
        return [(e["args"]["hospital"], decode_error(bytes(e["args"]["reason"]))) for e in events]

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

    def _accepted(self, number: int, roots: Mapping[str, bytes], block: int) -> dict[str, AcceptedUpdate]:
        """Storage says who and which root; the event of that root has the rest."""
        if not roots:
            return {}
        updates = {}
        for event in self.events("UpdateAccepted", number, block):
            values = event["args"]
            if roots.get(values["hospital"]) == bytes(values["root"]):
                updates[values["hospital"]] = AcceptedUpdate(
                    root=bytes(values["root"]),
                    samples=values["samples"],
                    size=values["size"],
                    metrics=bytes(values["metrics"]),
                )
        return updates

    def events(self, name: str, number: int | None = None, block: int | None = None) -> list[Any]:
        """The contract's events of a kind, of one round or of all, up to a block, by default the latest."""
        event = self._contract.events[name]()
        to = "latest" if block is None else block
        wanted = {} if number is None else {"round": number}
        return translated(lambda: list(event.get_logs(from_block=0, to_block=to, argument_filters=wanted)))

    def sender(self, event: Any) -> str:
        """Address that sent the transaction behind an event."""
        return str(translated(lambda: self._w3.eth.get_transaction(event["transactionHash"]))["from"])

    def _call(self, name: str, *arguments: object, block: int | None = None) -> Any:
        at: BlockIdentifier = "latest" if block is None else block
        return translated(lambda: self._contract.functions[name](*arguments).call(block_identifier=at))
