"""The submissions to an open round of which the contract will record one root, gathered off the chain."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace

from fedcxr.ledger.acceptance import AcceptanceRules
from fedcxr.ledger.protocol import RoundView, Verdict
from fedcxr.ledger.signing import SignedSubmission
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.ledger.submissions import tree as submission_tree


class SubmissionBook:
    """Holds the submissions to the open round; each was checked by the contract's rules.

    The book is in memory: after a crash the hospitals are asked again.
    """

    def __init__(self, rules: AcceptanceRules) -> None:
        """An empty book, for submissions to the contract that has these rules."""
        self._rules = rules
        self._attempt = (0, 0)
        self._held: dict[int, SignedSubmission] = {}  # by seat

    def take(self, signed: SignedSubmission, view: RoundView, registered: int) -> Verdict:
        """Take a submission in, or reject it for the reason that the contract would give.

        Args:
            signed: by a hospital.
            view: the open round, as the contract has it.
            registered: images of the hospital; 0 for a stranger.
        """
        hospital = signed.message.hospital
        self._turn(view)
        error = self._rules.objection(signed, view, registered, self._held)
        if error is None:
            self._held[view.seats[hospital]] = signed
        return Verdict(hospital, error)

    def fill(self, view: RoundView) -> RoundView:
        """The open round with the submissions that are held for it."""
        self._turn(view)
        view = view.under({seat: signed.message.hospital for seat, signed in self._held.items()})
        return replace(
            view, accepted={**view.accepted, **submission_list.accepted(list(self._held.values()))}
        )

    def settle(self, view: RoundView, direct: Iterable[SignedSubmission], active: Container[int]) -> None:
        """Bring the book in line with the contract, so that the round can be closed with it.

        Args:
            view: the open round.
            direct: submissions that the contract has accepted itself; they replace those that came here.
            active: seats of hospitals that are active; of all others only direct submissions stay.
        """
        self._turn(view)
        self._held = {seat: signed for seat, signed in self._held.items() if seat in active}
        self._held |= {view.seats[signed.message.hospital]: signed for signed in direct}

    @property
    def seats(self) -> set[int]:
        """Seats of the hospitals whose submissions are held."""
        return set(self._held)

    def listing(self) -> bytes:
        """The list of the submissions, for the store."""
        return submission_list.to_bytes(list(self._held.values()))

    def root(self, depth: int) -> bytes:
        """The Merkle root over the submissions, for the contract: of a tree with so many levels."""
        return submission_tree.root({seat: submission_tree.leaf(s) for seat, s in self._held.items()}, depth)

    def _turn(self, view: RoundView) -> None:
        """Forget another round's submissions."""
        if self._attempt != (view.number, view.attempt):
            self._attempt, self._held = (view.number, view.attempt), {}
