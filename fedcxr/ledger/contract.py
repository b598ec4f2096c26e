"""A federation's contract as its coordinator writes to it; :mod:`fedcxr.ledger.views` reads it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from eth_account.signers.local import LocalAccount
from web3 import Web3

from fedcxr.errors import ContractRejectedError
from fedcxr.ledger import call_gas
from fedcxr.ledger.artifact import load_artifact
from fedcxr.ledger.bounds import UNBOUND, Bounds
from fedcxr.ledger.connection import ContractConnection
from fedcxr.ledger.court import DisputeCourt
from fedcxr.ledger.deployment_parameters import DeploymentParameters
from fedcxr.ledger.membership import MembershipCalls
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.protocol import MemberView, RoundView, Verdict
from fedcxr.ledger.seats import to_bitmap, to_words, words_of
from fedcxr.ledger.signing import (
    Domain,
    Refusal,
    Registration,
    SignedAttestation,
    SignedSubmission,
    as_tuple,
    check_length,
)
from fedcxr.ledger.submissions.recording import KINDS, Recording, relayed
from fedcxr.ledger.transaction import send, translated
from fedcxr.ledger.transactor import Transactor
from fedcxr.ledger.views import FederationViews

_REGISTRY_GAS = 3_000_000  # for 9 kB of code
_DEPLOY_GAS = 12_000_000  # for 24 kB of code, the court's 16 and the rules' 2


class FederationLedger:
    """The coordinator's calls to one federation's contract; a :class:`~fedcxr.ledger.protocol.Ledger`.

    Attributes:
        views: reads the contract.
        membership: the contract's calls about members.
    """

    def __init__(self, w3: Web3, address: str, account: LocalAccount | None = None) -> None:
        """Connect without asking whether the contract is there; without an account nothing can be written."""
        connection = ContractConnection(w3, address)
        self._w3 = w3
        self._transactor = Transactor(connection, account)
        self.views = FederationViews(connection)
        self.membership = MembershipCalls(self._transactor)

    @classmethod
    def attach(cls, w3: Web3, address: str, account: LocalAccount | None = None) -> FederationLedger:
        """Connect to the contract of an existing federation, and write to it with ``account``.

        Raises:
            LedgerError: there is no contract at this address.
            ChainError: the chain does not answer.
        """
        ContractConnection.attach(w3, address)
        return cls(w3, address, account)

    @classmethod
    def deploy(
        cls, w3: Web3, account: LocalAccount, parameters: DeploymentParameters, bounds: Bounds = UNBOUND
    ) -> FederationLedger:
        """Deploy the contract of a new federation; ``account`` becomes its coordinator.

        Raises:
            ContractRejectedError: the contract refuses one of the parameters.
            ChainError: the chain does not take the transaction.
        """
        artifact = load_artifact()
        registry = w3.eth.contract(abi=[], bytecode=artifact.registry_bytecode)
        made = send(w3, account, registry.constructor(), gas=_REGISTRY_GAS)
        constructor: Any = [entry for entry in artifact.abi if entry["type"] == "constructor"]
        contract = w3.eth.contract(abi=constructor, bytecode=artifact.bytecode)
        founded = (made["contractAddress"], parameters.as_tuple(), bounds.as_tuple())
        receipt = send(w3, account, contract.constructor(artifact.registry_hash, *founded), gas=_DEPLOY_GAS)
        address = receipt["contractAddress"]
        assert address is not None
        ledger = cls(w3, address, account)
        ledger.gas_used["deploy"] += made["gasUsed"] + receipt["gasUsed"]
        return ledger

    @property
    def address(self) -> str:
        return self.views.address

    @property
    def domain(self) -> Domain:
        return self.views.domain

    @property
    def genesis_digest(self) -> bytes:
        return self.views.genesis_digest

    @property
    def last_finalized(self) -> int:
        """Number of the round that was finalized last; 0 before the first."""
        return self.views.last_finalized

    @property
    def round_in_progress(self) -> int:
        """Number of the round that is open, closed or validated; 0 when none is."""
        return self.views.round_in_progress

    @property
    def gas_used(self) -> Counter[str]:
        """Gas by kind of call, since this object was made."""
        return self._transactor.gas_used

    @property
    def provisional(self) -> bool:
        """Whether an accepted update can still be replaced until the round is closed."""
        return self._recording.provisional

    def block_hash(self, block: int) -> bytes | None:
        """Hash of the chain's block of a number; None where it has none."""
        return self.views.block_hash(block)

    def members(self) -> list[MemberView]:
        """Everyone who has ever joined, in the order of their seats."""
        return self.views.members()

    def register(self, registration: Registration, envelope_key: bytes, signature: bytes) -> None:
        """Admit a member under its signature; see :meth:`MembershipCalls.register`."""
        self.membership.register(registration, envelope_key, signature)

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
            number: one more than the number of the round that was finalized last.
            base: digest of the current model.
            config_digest: Merkle root of the round's configuration.
            participants: active hospitals.
            deadline_seconds: from now, or from the chain's present where that runs ahead of the clock.

        Raises:
            ContractRejectedError: the number or the base is wrong, a round is in progress, a participant is
                no active hospital, or what the federation was founded with does not allow the round.
        """
        latest = translated(lambda: self._w3.eth.get_block("latest"))["timestamp"]
        deadline = max(latest, int(time.time())) + deadline_seconds
        seats = to_bitmap(self.views.seat_of(address) for address in participants)
        wide = (words := words_of(seats)) > 1
        asked = to_words(seats, words) if wide else seats
        gas = call_gas.opening(len(participants), self.views.bounds) + call_gas.words(words)
        call = "openWideRound" if wide else "openRound"
        self._transactor.transact("open", call, (number, base, config_digest, asked, deadline), gas=gas)
        return self.round(number)

    def draw_committee(self, number: int) -> list[str]:
        """Draw the validators of the open round, unless it has some; none where every accepted update counts.

        Raises:
            ContractRejectedError: the round is not open, it is too late, or there are too few validators.
        """
        if self.views.committee_size == 0:
            return []
        drawn = self.views.committee()
        if not drawn:
            self._transactor.transact("draw", "drawCommittee", (number,), gas=500_000)
        return drawn or self.views.committee()

    def submit(self, batch: Sequence[SignedSubmission]) -> list[Verdict]:
        """Relay submissions; each is accepted or rejected on its own.

        Where one root records all, nothing is sent: the submissions are checked here as the contract would.
        """
        return self._recording.submit(batch)

    def submit_direct(self, signed: SignedSubmission) -> None:
        """Submit one update in a transaction of its own, as a hospital that trusts no relay would.

        Raises:
            ContractRejectedError: the contract's reason not to accept the update.
        """
        arguments = (as_tuple(signed.message), signed.signature)
        self._transactor.transact("submit", "submitUpdate", arguments, gas=250_000)

    def listing(self) -> bytes:
        """All submissions of the open round, to store before closing; empty where each is recorded."""
        return self._recording.listing()

    def close(self, number: int, list_root: bytes) -> None:
        """Close the open round: only updates that are accepted by now can be aggregated.

        Args:
            number: the open round.
            list_root: Merkle root of :meth:`listing`, which is in the store by now.

        Raises:
            ContractRejectedError: the round is not open, or too few updates are in; or a hospital was
                suspended, or submitted its update itself, since :meth:`listing`.
        """
        self._recording.close(number, list_root)
        self.views.forget()  # what counts is read once more from its beginning

    def attest(self, batch: Sequence[SignedAttestation]) -> list[Verdict]:
        """Relay validators' attestations; each is accepted or rejected on its own."""
        words = ("UpdateAttested", "AttestationRejected")
        return relayed(self._transactor, "attest", "attest", batch, words)

    def countable(self, number: int) -> bool:
        """Whether every update of the closed round is decided, or the time to judge them is over.

        Raises:
            ContractRejectedError: the round is not closed.
        """
        try:
            self.views.ask("validateRound", number)  # asked, not sent
        except ContractRejectedError as error:
            if error.name != "Undecided":
                raise
            return False
        return True

    def validate(self, number: int) -> None:
        """Count the attestations of a closed round; where every accepted update counts, do nothing.

        Raises:
            ContractRejectedError: the round is not closed, or an update is undecided and there is time left.
        """
        if self.views.committee_size:
            gas = 200_000 + 60_000 * self._participants
            self._transactor.transact("validate", "validateRound", (number,), gas=gas)

    def round(self, number: int) -> RoundView:
        """A round as the contract holds it, with the submissions that wait here for their one root.

        Raises:
            LedgerError: the round was never opened.
        """
        return self._recording.filled(self.views.round(number))

    def refuse(self, refusal: Refusal, signature: bytes) -> None:
        """Put on record that a hospital was handed a model that the contract does not hold.

        Raises:
            ContractRejectedError: the hospital is not active, or did not sign the refusal.
            FederationError: the signature is far longer than one can be.
        """
        check_length(signature)
        self._transactor.transact("refuse", "refuseBase", (as_tuple(refusal), signature), gas=150_000)

    def publish_seeds(self, number: int, root: bytes) -> None:
        """Say under which root the seeds are that take the masks off the validated round's sum.

        Nothing is sent where it was said before, or where the court is one of an earlier fedcxr, which does
        not know of seeds.

        Raises:
            ContractRejectedError: the round is not the latest.
        """
        if self.views.court_has("publishSeeds"):
            court = DisputeCourt(self._w3, self.views.court, self._transactor.account)
            if court.seeds_published(number, self.round(number).attempt)[-1:] != [root]:
                court.publish_seeds(number, root)
                self.gas_used["seeds"] += court.gas_used

    def finalize(
        self,
        number: int,
        *,
        aggregate_root: bytes,
        model_digest: bytes,
        excluded: Mapping[str, str],
    ) -> None:
        """Finalize the validated round with its result.

        Args:
            number: the validated round.
            aggregate_root: Merkle root of the sum.
            model_digest: of the model that the round releases.
            excluded: reasons by hospital, for counted updates that are not in the sum; all others are.

        Raises:
            ContractRejectedError: the round is not validated, an excluded update does not count, too few are
                left, or one of them has too large a share of the weight.
        """
        left = sorted(excluded, key=str.lower)
        arguments = (number, aggregate_root, model_digest, left, [excluded[a] for a in left])
        gas = call_gas.finalizing(excluded.values(), self._participants, self.views.bounds)
        self._transactor.transact("finalize", "finalizeRound", arguments, gas=gas)

    def settle(self) -> None:
        """Give the credits of the latest round, once it is finalized and unless they are given.

        Those of the first 256 seats are given in one transaction, and those of each further 256 in another.
        """
        while self.views.reward_budget:
            _, _, phase, settled, course, *_ = self.views.latest_round
            if phase != RoundPhase.FINALIZED.number or settled:
                break
            self._transactor.transact("settle", "settle", (), gas=call_gas.settling(int(course[4])))

    def abort(self, number: int, reason: str) -> None:
        """Abort the round in progress; its number can be opened again, as the next attempt.

        Raises:
            ContractRejectedError: no round of this number is in progress.
        """
        self._transactor.transact(
            "abort", "abortRound", (number, reason), gas=150_000 + call_gas.text(reason)
        )

    @cached_property
    def _recording(self) -> Recording:
        return KINDS[self.views.recording](self.views, self._transactor)

    @property
    def _participants(self) -> int:
        """How many hospitals are in the latest round."""
        return int(self.views.latest_round[4][4])
