"""The contract, typed: what the coordinator, a hospital and an auditor ask of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar, cast

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.exceptions import ContractCustomError, ContractLogicError, Web3Exception
from web3.logs import DISCARD
from web3.types import BlockIdentifier, TxParams, TxReceipt

from fedcxr.errors import ChainError, ContractRejectedError, LedgerError
from fedcxr.ledger.artifact import load_artifact
from fedcxr.ledger.protocol import AcceptedUpdate, HospitalView, RoundView, Status, Verdict
from fedcxr.ledger.signing import Domain, Refusal, Registration, SignedSubmission, as_tuple

_STATUS: tuple[Status | None, ...] = (None, "open", "finalized", "aborted")
_WEIGHTING = {"samples": 0, "uniform": 1}
_ZERO = bytes(32)
T = TypeVar("T")


class FederationLedger:
    """A connection to one federation's contract; writing needs an account."""

    def __init__(self, w3: Web3, address: str, account: LocalAccount | None = None) -> None:
        self._w3 = w3
        self._account = account
        self._contract = w3.eth.contract(address=Web3.to_checksum_address(address), abi=load_artifact().abi)
        self.gas_used: Counter[str] = Counter()

    @classmethod
    def deploy(
        cls,
        w3: Web3,
        account: LocalAccount,
        *,
        federation: bytes,
        layout_digest: bytes,
        config_digest: bytes,
        genesis_digest: bytes,
        coordinator_key: bytes,
        auditor_key: bytes,
    ) -> FederationLedger:
        """Found a federation; ``account`` becomes its coordinator.

        Raises:
            ChainError: the chain does not take the transaction.
        """
        artifact = load_artifact()
        constructor = w3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode).constructor(
            federation, layout_digest, config_digest, genesis_digest, coordinator_key, auditor_key
        )
        receipt = _send(w3, account, constructor, gas=4_000_000)
        address = receipt["contractAddress"]
        assert address is not None
        ledger = cls(w3, address, account)
        ledger.gas_used["deploy"] += receipt["gasUsed"]
        return ledger

    @classmethod
    def attach(cls, w3: Web3, address: str, account: LocalAccount | None = None) -> FederationLedger:
        """An existing federation.

        Raises:
            LedgerError: there is no contract at this address.
            ChainError: the chain does not answer.
        """
        found = Web3.is_address(address) and _translated(
            lambda: w3.eth.get_code(Web3.to_checksum_address(address))
        )
        if not found:
            raise LedgerError(f"no contract at {address}.")
        return cls(w3, address, account)

    @property
    def address(self) -> str:
        return str(self._contract.address)

    @cached_property
    def domain(self) -> Domain:
        """EIP-712 domain that hospitals sign for."""
        return Domain(_translated(lambda: self._w3.eth.chain_id), self.address)

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

    def register(self, registration: Registration, envelope_key: bytes, signature: bytes) -> None:
        """Admit a hospital under its signature.

        Raises:
            ContractRejectedError: bad signature, wrong key, no samples, registered already.
        """
        arguments = (as_tuple(registration), envelope_key, signature)
        self._transact("register", "registerHospital", arguments, gas=250_000 + 40 * len(envelope_key))

    def open_round(
        self,
        number: int,
        *,
        base: bytes,
        config_digest: bytes,
        participants: Sequence[str],
        weighting: str,
        deadline_seconds: int,
    ) -> RoundView:
        """Open a round; the contract computes the weights.

        Args:
            number: one more than the last finalized.
            base: digest of the current model.
            config_digest: Merkle root of the round's configuration.
            participants: registered hospitals.
            weighting: samples or uniform.
            deadline_seconds: from the chain's present, which may run ahead of the wall clock.

        Raises:
            ContractRejectedError: wrong number or base, a round is open, participants unknown or twice.
        """
        deadline = _translated(lambda: self._w3.eth.get_block("latest"))["timestamp"] + deadline_seconds
        arguments = (number, base, config_digest, list(participants), _WEIGHTING[weighting], deadline)
        self._transact("open", "openRound", arguments, gas=300_000 + 110_000 * len(participants))
        return self.round(number)

    def submit(self, batch: Sequence[SignedSubmission]) -> list[Verdict]:
        """Relay submissions; each is accepted or rejected on its own."""
        arguments = ([as_tuple(s.submission) for s in batch], [s.signature for s in batch])
        receipt = self._transact("submit", "submitUpdates", arguments, gas=60_000 + 150_000 * len(batch))
        # One event a submission, in the batch's order.
        events = [*self._logs("UpdateAccepted", receipt), *self._logs("UpdateRejected", receipt)]
        events.sort(key=lambda event: event["logIndex"])
        if len(events) != len(batch):
            raise ChainError(f"the contract said {len(events)} words on {len(batch)} submissions.")
        return [
            Verdict(
                signed.submission.hospital,
                decode_error(bytes(event["args"]["reason"])) if event["event"] == "UpdateRejected" else None,
            )
            for signed, event in zip(batch, events, strict=True)
        ]

    def submit_direct(self, signed: SignedSubmission) -> None:
        """Submit one update without a relay.

        Raises:
            ContractRejectedError: the reason.
        """
        self._transact("submit", "submitUpdate", (as_tuple(signed.submission), signed.signature), gas=250_000)

    def refuse(self, refusal: Refusal, signature: bytes) -> None:
        """Put on record that a hospital was handed a model that the contract does not hold.

        Raises:
            ContractRejectedError: not registered, or not signed by the hospital.
        """
        self._transact("refuse", "refuseBase", (as_tuple(refusal), signature), gas=150_000)

    def finalize(
        self,
        number: int,
        *,
        aggregate_root: bytes,
        model_digest: bytes,
        included: Sequence[str],
        excluded: Mapping[str, str],
    ) -> None:
        """Close the open round with its result.

        Raises:
            ContractRejectedError: not open, included not accepted, an accepted one not accounted for.
        """
        left = sorted(excluded, key=str.lower)
        arguments = (
            number,
            aggregate_root,
            model_digest,
            sorted(included, key=str.lower),
            left,
            [excluded[a] for a in left],
        )
        gas = 400_000 + 15_000 * (len(included) + len(left)) + sum(map(_text_gas, excluded.values()))
        self._transact("finalize", "finalizeRound", arguments, gas=gas)

    def abort(self, number: int, reason: str) -> None:
        """Give the open round up.

        Raises:
            ContractRejectedError: it is not open.
        """
        self._transact("abort", "abortRound", (number, reason), gas=150_000 + _text_gas(reason))

    def round(self, number: int) -> RoundView:
        """The latest attempt of a round.

        Raises:
            LedgerError: it was never opened.
        """
        # Read at one block: through RPC the coordinator may write in between.
        block = _translated(lambda: self._w3.eth.block_number)
        status, attempt, deadline, base, config_digest, aggregate_root, model_digest = self._call(
            "roundOf", number, block=block
        )
        name = _STATUS[status]
        if name is None:
            raise LedgerError(f"round {number} was never opened.")
        participants, places = self._call("placesOf", number, block=block)
        weights = {address: place[1] for address, place in zip(participants, places, strict=True)}
        roots = {a: bytes(p[2]) for a, p in zip(participants, places, strict=True) if bytes(p[2]) != _ZERO}
        finalized = self._events("RoundFinalized", number, block) if name == "finalized" else []
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
                for e in self._events("UpdateExcluded", number, block)
            }
            if name == "finalized"
            else {},
        )

    def refusals(self, number: int) -> dict[str, bytes]:
        """Digests that hospitals say they were handed instead of a round's base."""
        return {e["args"]["hospital"]: bytes(e["args"]["seen"]) for e in self._events("BaseRefused", number)}

    def rejections(self, number: int) -> list[tuple[str, ContractRejectedError]]:
        """Submissions to a round that the contract rejected in batches: hospital and reason, in order."""
        events = self._events("UpdateRejected", number)
        return [(e["args"]["hospital"], decode_error(bytes(e["args"]["reason"]))) for e in events]

    def code_difference(self) -> str | None:
        """What of the code at the address is not the artifact's; None when nothing.

        Immutables are what the constructor fills in; they are compared by the views that read them.
        """
        artifact = load_artifact()
        expected = bytearray(bytes.fromhex(artifact.deployed_bytecode[2:]))
        found = bytearray(_translated(lambda: self._w3.eth.get_code(self._contract.address)))
        if len(found) != len(expected):
            return f"{len(found)} bytes instead of {len(expected)}"
        for start, length in artifact.immutables:
            expected[start : start + length] = found[start : start + length]
        if found == expected:
            return None
        return f"other code from byte {next(i for i, b in enumerate(found) if b != expected[i])} on"

    def _accepted(self, number: int, roots: Mapping[str, bytes], block: int) -> dict[str, AcceptedUpdate]:
        """Storage says who and which root; the event of that root has the rest."""
        if not roots:
            return {}
        updates = {}
        for event in self._events("UpdateAccepted", number, block):
            values = event["args"]
            if roots.get(values["hospital"]) == bytes(values["root"]):
                updates[values["hospital"]] = AcceptedUpdate(
                    root=bytes(values["root"]),
                    samples=values["samples"],
                    size=values["size"],
                    metrics=bytes(values["metrics"]),
                )
        return updates

    def _events(self, name: str, number: int, block: int | None = None) -> list[Any]:
        """A round's events up to a block, by default the latest."""
        event = self._contract.events[name]()
        to = "latest" if block is None else block
        return _translated(
            lambda: list(event.get_logs(from_block=0, to_block=to, argument_filters={"round": number}))
        )

    def _logs(self, name: str, receipt: TxReceipt) -> Sequence[Any]:
        return list(self._contract.events[name]().process_receipt(receipt, errors=DISCARD))

    def _call(self, name: str, *arguments: object, block: int | None = None) -> Any:
        at: BlockIdentifier = "latest" if block is None else block
        return _translated(lambda: self._contract.functions[name](*arguments).call(block_identifier=at))

    def _transact(self, kind: str, name: str, arguments: Sequence[object], *, gas: int) -> TxReceipt:
        if self._account is None:
            raise LedgerError(f"{name}: this connection to the contract has no account to write with.")
        function = self._contract.functions[name](*arguments)
        receipt = _send(self._w3, self._account, function, gas=gas)
        self.gas_used[kind] += receipt["gasUsed"]
        return receipt


def _send(w3: Web3, account: LocalAccount, function: Any, *, gas: int) -> TxReceipt:
    """Sign, send and await one transaction; a revert is asked for its reason.

    Raises:
        ContractRejectedError: the contract reverted.
        ChainError: the chain did not take it.
    """

    def run() -> TxReceipt:
        base_fee = w3.eth.get_block("latest").get("baseFeePerGas", 0)
        transaction = function.build_transaction(
            {
                "from": account.address,
                "nonce": w3.eth.get_transaction_count(account.address),
                "gas": gas,  # estimating costs more than the transaction, and overestimates
                "maxFeePerGas": 2 * base_fee + 1,
                "maxPriorityFeePerGas": 1,
                "chainId": w3.eth.chain_id,
            }
        )
        signed = account.sign_transaction(transaction)
        receipt = w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(signed.raw_transaction))
        if receipt["status"] != 1:
            asked = {k: transaction[k] for k in ("from", "to", "data", "gas") if k in transaction}
            w3.eth.call(cast(TxParams, asked))
            raise ChainError(f"the transaction failed with {receipt['gasUsed']:,} of {gas:,} gas used.")
        return receipt

    return _translated(run)


def _translated(call: Callable[[], T]) -> T:
    """Run a call; web3's errors become ours.

    Raises:
        ContractRejectedError: a custom error, by name and with its arguments.
        ChainError: anything else that the chain said.
    """
    try:
        return call()
    except ContractCustomError as error:
        data = error.data if isinstance(error.data, str) else str(error.message)
        raise decode_error(bytes.fromhex(data.removeprefix("0x"))) from None
    except (ContractLogicError, Web3Exception, OSError) as error:
        raise ChainError(f"the chain says: {error}") from None


def _text_gas(text: str) -> int:
    """Gas for a text in call data and event: at most 40 a byte as data (EIP-7623), 8 in the log, 3 a copy."""
    return 60 * len(text.encode())


def decode_error(data: bytes) -> ContractRejectedError:
    """A custom error of the contract from its ABI encoding."""
    for entry in load_artifact().abi:
        if entry["type"] != "error":
            continue
        types = [field["type"] for field in entry["inputs"]]
        signature = f"{entry['name']}({','.join(types)})"
        if Web3.keccak(text=signature)[:4] == data[:4]:
            try:
                return ContractRejectedError(entry["name"], tuple(abi_decode(types, data[4:])))
            except DecodingError:
                break
    return ContractRejectedError("Unknown", (data,))
