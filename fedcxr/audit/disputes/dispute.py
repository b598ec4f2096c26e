"""A dispute of what stands under a round's one root: a submission that is none, or one that is missing.

Everything that it takes is public: the list of submissions is in the store, and the contract holds its root.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedcxr.errors import LedgerError
from fedcxr.ledger.court import DisputeCourt, Result, result_of
from fedcxr.ledger.signing import SignedSubmission
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.ledger.submissions import tree as submission_tree
from fedcxr.ledger.views import FederationViews
from fedcxr.store.blobs import BlobStore
from fedcxr.store.submissions import listed_submissions


@dataclass(frozen=True)
class Dispute:
    """What the court has to be shown of one seat.

    Attributes:
        result: of the round.
        seat: of a hospital.
        path: from its leaf up to the root.
        submission: what stands there; None where nothing does.
    """

    result: Result
    seat: int
    path: list[bytes]
    submission: SignedSubmission | None

    def bring(self, court: DisputeCourt) -> None:
        """Show it to the court.

        Raises:
            ContractRejectedError: ``SubmissionGood``, ``NotOmitted``, or what cannot be disputed.
        """
        if self.submission is None:
            court.dispute_omission(self.result, self.seat, self.path)
        else:
            court.dispute_submission(self.result, self.seat, self.submission, self.path)


def find_dispute(ledger: FederationViews, store: BlobStore, number: int) -> Dispute | None:
    """The first seat of a round of which the court would find that it was forged or left out; None: none.

    Raises:
        LedgerError: the round is not finalized, the contract records each submission, or the list in the
            store is not the one under the root.
        StoreError: the list is missing or damaged.
        FederationError: it is none.
    """
    round_ = _Round(ledger, store, number)
    for seat in sorted({*round_.submissions, *round_.included}):
        if not round_.is_good(seat):
            return round_.dispute(seat)
    return None


def prepare_dispute(ledger: FederationViews, store: BlobStore, number: int, hospital: str) -> Dispute:
    """The dispute of one hospital's seat, whether there is anything to dispute or not.

    Args:
        ledger: the contract.
        store: with the round's list.
        number: of the round.
        hospital: an address that it has or had.

    Raises:
        LedgerError, StoreError, FederationError: as :func:`find_dispute`.
        ContractRejectedError: the address was never a member's.
    """
    return _Round(ledger, store, number).dispute(ledger.seat_of(hospital))


class _Round:
    """What stands under the root of a finalized round, by seat."""

    def __init__(self, ledger: FederationViews, store: BlobStore, number: int) -> None:
        self._ledger = ledger
        self._view = ledger.round(number)
        if not ledger.recording.listed:
            raise LedgerError(
                "this federation records each submission: the contract has checked every one, and there is "
                "no root to dispute."
            )
        self._result = result_of(ledger, number)
        listed = listed_submissions(store, self._view.list_root)
        self._members = ledger.members()
        seats = {**{member.address: member.seat for member in self._members}, **self._view.seats}
        unknown = [s.message.hospital for s in listed if s.message.hospital not in seats]
        self._leaves: Mapping[int, bytes] = {} if unknown else submission_list.leaves(listed, seats)
        self._depth = submission_tree.depth_of(self._view.seats.values())
        if submission_tree.root(self._leaves, self._depth) != self._view.submissions_root:
            raise LedgerError(
                f"round {number}: the list of submissions in the store is not that of the contract's root, "
                "so that nothing under it can be shown; `fedcxr audit` finds it."
            )
        self.submissions = {seats[signed.message.hospital]: signed for signed in listed}
        self.included = {self._view.seats[address] for address in self._view.included}

    def is_good(self, seat: int) -> bool:
        """Whether the court would find nothing wrong with what stands at a seat."""
        signed = self.submissions.get(seat)
        if signed is None:
            return seat not in self.included
        return self._ledger.acceptance.flaw(signed, self._view, self._members[seat].samples) is None

    def dispute(self, seat: int) -> Dispute:
        path = submission_tree.path(self._leaves, seat, self._depth)
        return Dispute(self._result, seat, path, self.submissions.get(seat))
