"""The contract that holds the coordinator's bond and judges challenges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from eth_abi.abi import encode
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak
from web3 import Web3

from fedcxr.errors import LedgerError
from fedcxr.ledger.artifact import canonical_type, known_interface
from fedcxr.ledger.deployed_contract import DeployedContract
from fedcxr.ledger.openings import MaskedOpening, SubmissionOpening, in_transactions
from fedcxr.ledger.seats import to_bitmap, to_words, words_of
from fedcxr.ledger.signing import SignedSubmission, as_tuple
from fedcxr.ledger.transaction import send, translated
from fedcxr.ledger.views import FederationViews

_LEAF_GAS = 250_000  # of 4,096 bytes as call data (EIP-7623), their hashes and their sum


@dataclass(frozen=True)
class Result:
    """A finalized round's result: the contract's struct of this name, with its fields in its order.

    Attributes:
        included: a set of seats. Where a round has others than the first 256, the struct has a hash.
        words: of the sets of the round.
    """

    round: int
    attempt: int
    finalized_at: int
    base: bytes
    aggregate_root: bytes
    model_digest: bytes
    submissions_root: bytes
    included: int
    words: int = 1

    @property
    def set(self) -> list[int]:
        """The words of the set."""
        return to_words(self.included, self.words)

    @property
    def struct(self) -> tuple[Any, ...]:
        """The fields of the contract's struct."""
        (first, *others) = self.set
        packed = b"".join(word.to_bytes(32, "big") for word in (first, *others))
        included = int.from_bytes(keccak(packed), "big") if others else first
        return (*astuple(self)[:-2], included)

    @property
    def hash(self) -> bytes:
        """The hash by which the contract keeps the result; that of a wide round is hashed twice."""
        (result,) = known_interface().function("resultHash")["inputs"]
        once = keccak(encode([canonical_type(result)], [self.struct]))
        return keccak(once) if self.words > 1 else once


def result_of(ledger: FederationViews, number: int) -> Result:
    """The result of a finalized round from its events, held against the hash that the contract keeps.

    Raises:
        LedgerError: the round is not finalized, or its events and the contract's storage differ.
    """
    events = ledger.round_events(number)
    finalized = [event for event in events.events if event["event"] == "RoundFinalized"]
    if not finalized:
        raise LedgerError(f"round {number} is not finalized.")
    view, values = events.view(ledger.rotations()), finalized[-1]["args"]
    result = Result(
        round=number,
        attempt=view.attempt,
        finalized_at=ledger.timestamp(finalized[-1]["blockNumber"]),
        base=view.base,
        aggregate_root=view.aggregate_root,
        model_digest=view.model_digest,
        submissions_root=bytes(values["submissionsRoot"]),
        included=to_bitmap(view.seats[address] for address in view.included),
        words=words_of(to_bitmap(view.seats.values())),
    )
    if (held := ledger.result_hash(number)) != result.hash:
        raise LedgerError(
            f"round {number}: its events give a result with hash {result.hash.hex()}, "
            f"but the contract keeps {held.hex()}."
        )
    return result


class DisputeCourt:
    """A connection to a federation's court; without an account nothing can be written."""

    def __init__(self, w3: Web3, address: str, account: LocalAccount | None = None) -> None:
        self._w3 = w3
        self._account = account
        self._contract = DeployedContract(w3, address, known_interface().court_abi)
        self.gas_used = 0

    @property
    def address(self) -> str:
        return self._contract.address

    @property
    def bond(self) -> int:
        """Wei that the coordinator stands to lose."""
        return int(translated(lambda: self._contract.function("bond")().call()))

    @property
    def minimum_bond(self) -> int:
        """Wei that the bond must have, or no round opens."""
        return int(translated(lambda: self._contract.function("minimumBond")().call()))

    @property
    def release_at(self) -> int:
        """Seconds of chain time from which the bond may be taken back; 0 while it is pledged."""
        return int(translated(lambda: self._contract.function("releaseAt")().call()))

    def disputable(self, result: Result) -> bool:
        """Whether a round may be challenged still."""
        return bool(translated(lambda: self._contract.function("disputable")(result.struct).call()))

    def disputed_by_events(self) -> set[int]:
        """Rounds of which the court has announced that a challenge succeeded."""
        names = ("AggregateDisputed", "SubmissionDisputed")
        events = [self._contract.event(name) for name in names]
        return {
            int(log["args"]["round"])
            for event in events
            for log in translated(lambda event=event: list(event.get_logs(from_block=0)))  # type: ignore[misc]
        }

    def disputed(self, number: int) -> bool:
        """Whether a challenge of a round has succeeded."""
        return bool(translated(lambda: self._contract.function("disputed")(number).call()))

    def seeds_published(self, number: int, attempt: int) -> list[bytes]:
        """The roots under which the coordinator has published an attempt's seeds, in their order."""
        return [root for place, root in self.all_seeds_published() if place == (number, attempt)]

    def all_seeds_published(self) -> list[tuple[tuple[int, int], bytes]]:
        """The roots of all seeds that the coordinator has published, each with its round and attempt."""
        event = self._contract.event("SeedsPublished")
        said = [log["args"] for log in translated(lambda: list(event.get_logs(from_block=0)))]
        return [((int(one["round"]), int(one["attempt"])), bytes(one["root"])) for one in said]

    def publish_seeds(self, number: int, root: bytes) -> None:
        """Say under which root the seeds are that take the masks off the latest round's sum.

        Raises:
            ContractRejectedError: the account is not the coordinator's, or the round not the latest.
        """
        self._transact("publishSeeds", (number, root), gas=100_000)

    def post_bond(self, wei: int) -> None:
        """Add to the coordinator's bond.

        Raises:
            ChainError: the account does not have so many wei.
        """
        self._transact("postBond", (), gas=100_000, value=wei)

    def announce_release(self) -> None:
        """Announce that the coordinator will take the bond back.

        Raises:
            ContractRejectedError: the account is not the coordinator's, or a round is in progress.
        """
        self._transact("announceRelease", (), gas=150_000)

    def release(self) -> None:
        """Take the bond back, once its release was announced and the time to challenge is over.

        Raises:
            ContractRejectedError: the account is not the coordinator's, or it is too early.
        """
        self._transact("releaseBond", (), gas=150_000)

    def challenge(
        self,
        result: Result,
        leaf_index: int,
        openings: Sequence[SubmissionOpening],
        aggregate_leaf: bytes,
        aggregate_path: Sequence[bytes],
    ) -> None:
        """Show that a chunk of the aggregate is not the sum of the included updates' chunks.

        Args:
            result: of the round.
            leaf_index: of the chunk.
            openings: of the updates of all included hospitals, in the order of seats.
            aggregate_leaf, aggregate_path: the chunk of the aggregate, and its audit path.

        Raises:
            ContractRejectedError: ``AggregateCorrect`` where the sum is right; otherwise what is wrong with
                the challenge itself.
        """
        opened = [opening.struct for opening in openings]
        arguments = (result.struct, leaf_index, opened, aggregate_leaf, list(aggregate_path))
        self._transact("challenge", arguments, gas=400_000 + _LEAF_GAS * (1 + len(openings)))

    def challenge_masked(
        self,
        result: Result,
        word: int,
        openings: Sequence[MaskedOpening],
        *,
        context: bytes,
        aggregate_leaf: bytes,
        aggregate_path: Sequence[bytes],
    ) -> None:
        """Show that a word of a masked round's aggregate is not the sum without its masks.

        It takes as many transactions as the openings need.

        Args:
            result: of the round.
            word: which.
            openings: of the updates of all included hospitals, in the order of seats.
            context: what the hospitals' context is the digest of.
            aggregate_leaf, aggregate_path: the leaf of the aggregate with the word, and its audit path.

        Raises:
            ContractRejectedError: ``AggregateCorrect`` where the sum is right; otherwise what is wrong with
                the challenge itself.
        """
        total = 0
        for index, (part, gas) in enumerate(in_transactions(openings)):
            shown = (result.struct, word, [opening.struct for opening in part], context)
            if index:
                self._transact("addOpenings", shown, gas=gas)
            else:
                aggregate = aggregate_leaf, list(aggregate_path)
                self._transact("challengeMasked", (*shown, *aggregate), gas=gas)
            total += self.gas_used
        self.gas_used = total

    def dispute_submission(
        self, result: Result, seat: int, signed: SignedSubmission, path: Sequence[bytes]
    ) -> None:
        """Show that the contract would not have accepted a submission that is under a round's root.

        Raises:
            ContractRejectedError: ``SubmissionGood`` where it would have; or the submission is not under the
                root.
        """
        arguments = (result.struct, seat, as_tuple(signed.message), signed.signature, list(path))
        self._transact("disputeSubmission", arguments, gas=500_000)

    def dispute_omission(self, result: Result, seat: int, path: Sequence[bytes]) -> None:
        """Show that an included hospital has no submission under a round's root.

        Raises:
            ContractRejectedError: ``NotOmitted`` where the hospital has one, or is not included.
        """
        if result.words == 1:
            self._transact("disputeOmission", (result.struct, seat, list(path)), gas=300_000)
        else:
            arguments = (result.struct, result.set, seat, list(path))
            self._transact("disputeWideOmission", arguments, gas=400_000)

    def proves_inclusion(
        self, root: bytes, seat: int, signed: SignedSubmission, path: Sequence[bytes]
    ) -> bool:
        """Whether the court accepts a proof that a submission is under a root."""
        arguments = (root, seat, as_tuple(signed.message), signed.signature, list(path))
        return bool(translated(lambda: self._contract.function("provesInclusion")(*arguments).call()))

    def proves_omission(self, root: bytes, seat: int, path: Sequence[bytes]) -> bool:
        """Whether the court accepts a proof that a hospital has no submission under a root."""
        return bool(
            translated(lambda: self._contract.function("provesOmission")(root, seat, list(path)).call())
        )

    def _transact(self, name: str, arguments: Sequence[object], *, gas: int, value: int = 0) -> None:
        if self._account is None:
            raise LedgerError(f"{name}: this connection to the court has no account to write with.")
        function = self._contract.function(name)(*arguments)
        receipt = send(self._w3, self._account, function, gas=gas, value=value)
        self.gas_used = int(receipt["gasUsed"])
