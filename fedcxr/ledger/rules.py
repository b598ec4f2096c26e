"""The contract's rules that are needed where no contract applies them: its weights, its objections."""

from __future__ import annotations

from collections.abc import Sequence

from eth_hash.auto import keccak

from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import Submission
from fedcxr.update.fixed_point import WEIGHT_SUM

CHANGES = ("suspend", "reinstate")
"""What members vote on besides a registration: names of the contract's enum ``Change``, in its order."""


def assign_weights(samples: Sequence[int], weighting: str) -> list[int]:
    """The contract's integer weights: at least 1 each, at most WEIGHT_SUM together."""
    count = len(samples)
    if weighting == "uniform":
        return [WEIGHT_SUM // count] * count
    return [1 + s * (WEIGHT_SUM - count) // sum(samples) for s in samples]


def action_of(federation: bytes, change: str, seat: int, changes: int) -> bytes:
    """What members approve to change another's standing.

    Args:
        federation: 32 bytes.
        change: of :data:`CHANGES`.
        seat: of the other.
        changes: how often it has been suspended or reinstated: a vote counts for the next time alone.
    """
    numbers = (CHANGES.index(change), seat, changes)
    return bytes(keccak(federation + b"".join(number.to_bytes(32) for number in numbers)))


def objection(
    submission: Submission,
    federation: bytes,
    view: RoundView | None,
    registered: int,
    *,
    update_size: int = 0,
    signer: str | None = None,
) -> ContractRejectedError | None:
    """Why the contract would not accept a submission: its rules, in its order, but for its clock.

    The property test holds this function to the contract, reason by reason.

    Args:
        submission: what a hospital signed.
        federation: the contract's.
        view: the open round; None when none is open.
        registered: images that the hospital was registered with; 0 for a stranger.
        update_size: bytes of every update where they are open; 0 where they are sealed, and may have any.
        signer: whose signature comes with it; None where nothing is signed.

    Returns:
        The contract's reason; None where it accepts.
    """
    s = submission
    if s.federation != federation:
        return ContractRejectedError("WrongFederation", (federation, s.federation))
    if view is None or view.status != RoundPhase.OPEN or s.round != view.number:
        return ContractRejectedError("WrongPhase", (s.round, 0))
    rules: tuple[tuple[bool, str, tuple[object, ...]], ...] = (
        (s.attempt != view.attempt, "WrongAttempt", (view.attempt, s.attempt)),
        (registered == 0, "NotActive", (s.hospital,)),
        (s.hospital not in view.seats, "NotParticipant", (s.hospital,)),
        (s.base != view.base, "WrongBase", (view.base, s.base)),
        (s.samples == 0, "NoSamples", (s.hospital,)),
        (s.samples > registered, "TooManySamples", (registered, s.samples)),
        (s.size == 0 or s.root == bytes(32), "EmptyUpdate", (s.hospital,)),
        (update_size not in (0, s.size), "WrongSize", (update_size, s.size)),
        (_has_submitted(view, s.hospital), "AlreadySubmitted", (s.round, s.hospital)),
        (signer not in (None, s.hospital), "BadSignature", (s.hospital, signer)),
    )
    return next((ContractRejectedError(name, values) for broken, name, values in rules if broken), None)


def _has_submitted(view: RoundView, hospital: str) -> bool:
    """Whether an update of the hospital's seat is in, under whatever key."""
    return view.seats.get(hospital) in {view.seats[address] for address in view.accepted}
