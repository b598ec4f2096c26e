"""The contract as the coordinator writes to it; what everyone reads is in :mod:`fedcxr.ledger.views`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.logs import DISCARD
from web3.types import TxReceipt

from fedcxr.errors import ChainError, LedgerError
from fedcxr.ledger.artifact import load_artifact
from fedcxr.ledger.protocol import RoundView, Verdict
from fedcxr.ledger.signing import Refusal, Registration, SignedSubmission, as_tuple, check_length
from fedcxr.ledger.transaction import decode_error, send, translated
from fedcxr.ledger.views import WEIGHTINGS, FederationViews


class FederationLedger(FederationViews):
    """A connection to one federation's contract; writing needs an account."""

    def __init__(self, w3: Web3, address: str, account: LocalAccount | None = None) -> None:
        super().__init__(w3, address)
        self._account = account
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
        weighting: str,
        coordinator_key: bytes,
        auditor_key: bytes,
    ) -> FederationLedger:
        """Found a federation; ``account`` becomes its coordinator.

        Raises:
            ChainError: the chain does not take the transaction.
        """
        artifact = load_artifact()
        constructor = w3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode).constructor(
            federation,
            layout_digest,
            config_digest,
            genesis_digest,
            WEIGHTINGS.index(weighting),
            coordinator_key,
            auditor_key,
        )
        receipt = send(w3, account, constructor, gas=4_000_000)
        address = receipt["contractAddress"]
        assert address is not None
        ledger = cls(w3, address, account)
        ledger.gas_used["deploy"] += receipt["gasUsed"]
        return ledger

    @classmethod
    def attach(cls, w3: Web3, address: str, account: LocalAccount | None = None) -> Self:
        """An existing federation, to write to with ``account``.

        Raises:
            LedgerError: there is no contract at this address.
            ChainError: the chain does not answer.
        """
        ledger = super().attach(w3, address)
        ledger._account = account
        return ledger

    def register(self, registration: Registration, envelope_key: bytes, signature: bytes) -> None:
        """Admit a hospital under its signature.

        Raises:
            ContractRejectedError: bad signature, wrong key, no samples, registered already.
            FederationError: bytes far longer than a signature.
        """
        check_length(signature)
        arguments = (as_tuple(registration), envelope_key, signature)
        self._transact("register", "registerHospital", arguments, gas=250_000 + 40 * len(envelope_key))

    def open_round(
        self,
        number: int,
        *,
        base: bytes,
        config_digest: bytes,
        participants: Sequence[str],
        deadline_seconds: int,
    ) -> RoundView:
        """Open a round; the contract computes the weights.

        Args:
            number: one more than the last finalized.
            base: digest of the current model.
            config_digest: Merkle root of the round's configuration.
            participants: registered hospitals.
            deadline_seconds: from now, or from the chain's present where that runs ahead of the clock.

        Raises:
            ContractRejectedError: wrong number or base, a round is open, participants unknown or twice.
        """
        latest = translated(lambda: self._w3.eth.get_block("latest"))["timestamp"]
        deadline = max(latest, int(time.time())) + deadline_seconds
        arguments = (number, base, config_digest, list(participants), deadline)
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
            FederationError: bytes far longer than a signature.
        """
        check_length(signature)
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

    def _logs(self, name: str, receipt: TxReceipt) -> Sequence[Any]:
        return list(self._contract.events[name]().process_receipt(receipt, errors=DISCARD))

    def _transact(self, kind: str, name: str, arguments: Sequence[object], *, gas: int) -> TxReceipt:
        if self._account is None:
            raise LedgerError(f"{name}: this connection to the contract has no account to write with.")
        function = self._contract.functions[name](*arguments)
        receipt = send(self._w3, self._account, function, gas=gas)
        self.gas_used[kind] += receipt["gasUsed"]
        return receipt


def _text_gas(text: str) -> int:
    """Gas for a text in call data and event: at most 40 a byte as data (EIP-7623), 8 in the log, 3 a copy."""
    return 60 * len(text.encode())
