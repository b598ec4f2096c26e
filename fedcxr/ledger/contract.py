"""The contract as the coordinator writes to it; what everyone reads is in :mod:`fedcxr.ledger.views`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.logs import DISCARD
from web3.types import TxReceipt

from fedcxr.errors import ChainError, ContractRejectedError
from fedcxr.ledger.artifact import load_artifact
from fedcxr.ledger.founding import Founding
from fedcxr.ledger.membership_writer import MembershipWriter
from fedcxr.ledger.protocol import RoundView, Verdict
from fedcxr.ledger.seats import to_bitmap
from fedcxr.ledger.signing import (
    Refusal,
    Signed,
    SignedAttestation,
    SignedSubmission,
    Struct,
    as_tuple,
    check_length,
)
from fedcxr.ledger.submissions.book import SubmissionBook
from fedcxr.ledger.transaction import decode_error, send, translated
from fedcxr.ledger.views import PHASES

_DEPLOY_GAS = 12_000_000  # for 24 kB of code and the court's 10


class FederationLedger(MembershipWriter):
    """A connection to one federation's contract, to write to as its coordinator."""

    @classmethod
    def deploy(cls, w3: Web3, account: LocalAccount, founding: Founding) -> FederationLedger:
        """Found a federation; ``account`` becomes its coordinator.

        Raises:
            ContractRejectedError: a rule that cannot be.
            ChainError: the chain does not take the transaction.
        """
        artifact = load_artifact()
        contract = w3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        receipt = send(w3, account, contract.constructor(founding.as_tuple()), gas=_DEPLOY_GAS)
        address = receipt["contractAddress"]
        assert address is not None
        ledger = cls(w3, address, account)
        ledger.gas_used["deploy"] += receipt["gasUsed"]
        return ledger

    # ----------------------------------------------------------------------------------------- rounds

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
            participants: active hospitals.
            deadline_seconds: from now, or from the chain's present where that runs ahead of the clock.

        Raises:
            ContractRejectedError: wrong number or base, a round is open, participants unknown or twice.
        """
        latest = translated(lambda: self._w3.eth.get_block("latest"))["timestamp"]
        deadline = max(latest, int(time.time())) + deadline_seconds
        seats = to_bitmap(self.seat_of(address) for address in participants)
        arguments = (number, base, config_digest, seats, deadline)
        # Settling the round before takes a slot for each of its hospitals.
        self._transact("open", "openRound", arguments, gas=400_000 + 40_000 * len(participants))
        return self.round(number)

    def draw_committee(self, number: int) -> list[str]:
        """Draw the validators of the open round; none where an accepted update counts.

        Raises:
            ContractRejectedError: not open, drawn already, too late, too few validators.
        """
        if self.committee_size == 0:
            return []
        drawn = self.committee()
        if not drawn:
            self._transact("draw", "drawCommittee", (number,), gas=500_000)
        return drawn or self.committee()

    def submit(self, batch: Sequence[SignedSubmission]) -> list[Verdict]:
        """Relay submissions; each is accepted or rejected on its own.

        Where one root records all, nothing is sent: they are checked here as the contract would.
        """
        if self.recording == "root":
            return self._enter(batch)
        return self._batch(
            "submit", "submitUpdates", batch, ("UpdateAccepted", "UpdateRejected"), gas=150_000
        )

    def submit_direct(self, signed: SignedSubmission) -> None:
        """Submit one update without a relay.

        Raises:
            ContractRejectedError: the reason.
        """
        self._transact("submit", "submitUpdate", (as_tuple(signed.message), signed.signature), gas=250_000)

    def listing(self) -> bytes:
        """All submissions of the open round, to store before closing; empty where each is recorded."""
        if self.recording == "each":
            return b""
        self._settle_book()
        return self._book.listing()

    def close(self, number: int, list_root: bytes) -> None:
        """Close the open round: what is accepted now is what can be aggregated.

        Args:
            number: the open round.
            list_root: Merkle root of :meth:`listing`, which is in the store by now.

        Raises:
            ContractRejectedError: not open, too few updates; UnknownSeats or SubmissionsMissing where a
                hospital was suspended, or brought its update itself, since the listing.
        """
        if self.recording == "each":
            self._transact("close", "closeRound", (number,), gas=200_000)
            return
        arguments = (number, self._book.root(), list_root, to_bitmap(self._book.seats))
        self._transact("close", "closeWithRoot", arguments, gas=300_000)

    def attest(self, batch: Sequence[SignedAttestation]) -> list[Verdict]:
        """Relay validators' verdicts; each is taken or rejected on its own."""
        return self._batch("attest", "attest", batch, ("UpdateAttested", "AttestationRejected"), gas=150_000)

    def countable(self, number: int) -> bool:
        """Whether every update of the closed round is decided, or the time to judge is over.

        Raises:
            ContractRejectedError: the round is not closed.
        """
        try:
            self._call("validateRound", number)  # asked, not sent
        except ContractRejectedError as error:
            if error.name != "Undecided":
                raise
            return False
        return True

    def validate(self, number: int) -> None:
        """Count the verdicts of a closed round; nothing to do where an accepted update counts.

        Raises:
            ContractRejectedError: not closed, or an update is undecided and there is time left.
        """
        if self.committee_size:
            self._transact("validate", "validateRound", (number,), gas=200_000 + 60_000 * self._participants)

    def round(self, number: int) -> RoundView:
        """As the contract holds it; with what is gathered here, where one root will record all.

        Raises:
            LedgerError: it was never opened.
        """
        view = super().round(number)
        return self._book.fill(view) if self.recording == "root" and view.status == "open" else view

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
        excluded: Mapping[str, str],
    ) -> None:
        """Finalize the validated round with its result; included is what counts and is not excluded.

        Raises:
            ContractRejectedError: not validated, an excluded one does not count, too few are left.
        """
        left = sorted(excluded, key=str.lower)
        arguments = (number, aggregate_root, model_digest, left, [excluded[a] for a in left])
        gas = 300_000 + 20_000 * len(left) + sum(map(_text_gas, excluded.values()))
        self._transact("finalize", "finalizeRound", arguments, gas=gas)

    def settle(self) -> None:
        """Give the credits of the latest round, once it is finalized, unless they are given."""
        _, _, phase, settled, *_ = self._call("latestRound")
        if self.reward_budget and PHASES[phase] == "finalized" and not settled:
            self._transact("settle", "settle", (), gas=200_000 + 60_000 * self._participants)

    def abort(self, number: int, reason: str) -> None:
        """Give the open round up.

        Raises:
            ContractRejectedError: it is not open.
        """
        self._transact("abort", "abortRound", (number, reason), gas=150_000 + _text_gas(reason))

    # ---------------------------------------------------------------------------------------- private

    @cached_property
    def _book(self) -> SubmissionBook:
        return SubmissionBook(self.federation, self.domain, self.update_size if self.open_updates else 0)

    def _enter(self, batch: Sequence[SignedSubmission]) -> list[Verdict]:
        """Check submissions as the contract would, for the root that closes the round."""
        samples = {m.address: m.samples for m in self.members() if m.is_active_hospital}
        number = self.round_in_progress
        verdicts = []
        for signed in batch:
            view = self.round(number or signed.message.round)
            verdicts.append(self._book.take(signed, view, samples.get(signed.message.hospital, 0)))
        return verdicts

    def _settle_book(self) -> None:
        """Enter what hospitals brought to the contract themselves; leave out who may not act any more."""
        number = self.round_in_progress
        events = self.round_events(number).attempts[-1]
        direct = [
            SignedSubmission(events.submission(self.federation, v["hospital"]), bytes(v["signature"]))
            for v in events.of("UpdateAccepted")
        ]
        active = {member.seat for member in self.members() if member.is_active_hospital}
        self._book.settle(super().round(number), direct, active)

    @property
    def _participants(self) -> int:
        """How many hospitals are in the latest round."""
        return int(self._call("latestRound")[4][4])

    def _batch(
        self, kind: str, name: str, batch: Sequence[Signed[Any]], said: tuple[str, str], *, gas: int
    ) -> list[Verdict]:
        """Send signed messages; the contract says one word on each, in the batch's order."""
        arguments = ([as_tuple(s.message) for s in batch], [s.signature for s in batch])
        receipt = self._transact(kind, name, arguments, gas=80_000 + gas * len(batch))
        events = [event for word in said for event in self._logs(word, receipt)]
        events.sort(key=lambda event: event["logIndex"])
        if len(events) != len(batch):
            raise ChainError(f"the contract said {len(events)} words on {len(batch)} messages.")
        return [
            Verdict(
                _signer(signed.message),
                decode_error(bytes(event["args"]["reason"])) if event["event"] == said[1] else None,
            )
            for signed, event in zip(batch, events, strict=True)
        ]

    def _logs(self, name: str, receipt: TxReceipt) -> Sequence[Any]:
        return list(self._contract.events[name]().process_receipt(receipt, errors=DISCARD))


def _text_gas(text: str) -> int:
    """Gas for a text in call data and event: at most 40 a byte as data (EIP-7623), 8 in the log, 3 a copy."""
    return 60 * len(text.encode())


def _signer(message: Struct) -> str:
    return str(getattr(message, "validator", None) or getattr(message, "hospital", ""))
