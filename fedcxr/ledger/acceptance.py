"""The contract's rules for a submission, where no contract applies them.

The ledger without a chain, the coordinator that gathers submissions under one root, and whoever disputes what
stands under such a root decide here. The property tests hold this file to ``Rounds.sol``'s ``_take`` and to
``DisputeCourt.sol``'s ``_isGood``, reason by reason.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from fedcxr.errors import ContractRejectedError, LedgerError
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import Domain, SignedSubmission, recover

_NOBODY = "0x" + "00" * 20  # whom the contract recovers from what is no signature


@dataclass(frozen=True)
class AcceptanceRules:
    """What one federation's contract asks of a submission.

    Attributes:
        federation: 32 bytes, which every submission repeats.
        domain: that hospitals sign for; None where nothing is signed.
        update_size: bytes of every update where updates are open; None where they are sealed, and may have
            any size.
    """

    federation: bytes
    domain: Domain | None
    update_size: int | None

    def objection(
        self, signed: SignedSubmission, view: RoundView | None, registered: int, held: Container[int] = ()
    ) -> ContractRejectedError | None:
        """Why the contract would not accept a submission now: all its rules, in its order, but for its clock.

        Args:
            signed: by a hospital, or so it says.
            view: the latest round with what is accepted so far; None where none is in progress.
            registered: images that the hospital was registered with; 0 unless it is an active member.
            held: seats whose submissions are in, besides those of the view.

        Returns:
            The contract's reason; None where it accepts.
        """
        if signed.message.federation == self.federation and view is None:
            return ContractRejectedError("WrongPhase", (signed.message.round, RoundPhase.NONE.number))
        return next(self._objections(signed, view, registered, held, entering=True), None)

    def flaw(
        self, signed: SignedSubmission, view: RoundView, registered: int
    ) -> ContractRejectedError | None:
        """What is wrong with a submission whenever it is looked at: the rules that the court applies.

        Args:
            signed: what stands under a round's root at a seat.
            view: the round, in whatever phase.
            registered: images that the seat was registered with.

        Returns:
            The reason for which the contract would have rejected it; None where nothing is wrong with it.
        """
        return next(self._objections(signed, view, registered, (), entering=False), None)

    def _objections(
        self,
        signed: SignedSubmission,
        view: RoundView | None,
        registered: int,
        held: Container[int],
        *,
        entering: bool,
    ) -> Iterator[ContractRejectedError]:
        """Every reason, in the contract's order; ``entering``: those too that depend on the moment."""
        s = signed.message
        if s.federation != self.federation:
            yield ContractRejectedError("WrongFederation", (self.federation, s.federation))
        assert view is not None
        if s.round != view.number or (entering and view.status != RoundPhase.OPEN):
            yield ContractRejectedError("WrongPhase", (s.round, view.status.number))
        if s.attempt != view.attempt:
            yield ContractRejectedError("WrongAttempt", (view.attempt, s.attempt))
        if entering and registered == 0:
            yield ContractRejectedError("NotActive", (s.hospital,))
        if entering and s.hospital not in view.seats:
            yield ContractRejectedError("NotParticipant", (s.hospital,))
        if s.base != view.base:
            yield ContractRejectedError("WrongBase", (view.base, s.base))
        if s.samples == 0:
            yield ContractRejectedError("NoSamples", (s.hospital,))
        if s.samples > registered:
            yield ContractRejectedError("TooManySamples", (registered, s.samples))
        if s.size == 0 or s.root == bytes(32):
            yield ContractRejectedError("EmptyUpdate", (s.hospital,))
        if self.update_size not in (None, s.size):
            yield ContractRejectedError("WrongSize", (self.update_size, s.size))
        if entering and _has_submitted(view, s.hospital, held):
            yield ContractRejectedError("AlreadySubmitted", (s.round, s.hospital))
        if self.domain is not None and (signer := _signer(signed, self.domain)) != s.hospital:
            yield ContractRejectedError("BadSignature", (s.hospital, signer))


def _has_submitted(view: RoundView, hospital: str, held: Container[int]) -> bool:
    """Whether an update of the hospital's seat is in, under whatever key."""
    seat = view.seats.get(hospital)
    return seat in held or any(view.seats[address] == seat for address in view.accepted)


def _signer(signed: SignedSubmission, domain: Domain) -> str:
    try:
        return recover(signed.message, signed.signature, domain)
    except LedgerError:
        return _NOBODY
