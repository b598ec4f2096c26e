"""The mask that one hospital puts on its update in one attempt, and the header that goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcxr.errors import FederationError
from fedcxr.privacy.secagg import mask, shamir
from fedcxr.privacy.secagg.attempt import MaskedAttempt, sign_of
from fedcxr.privacy.secagg.header import SEALED, Commitments, HeaderFacts, HistoryEntry, MaskedHeader
from fedcxr.privacy.secagg.seeds import (
    pair_commitment,
    pair_seed,
    self_commitment,
    share_commitment,
    share_info,
)
from fedcxr.update.fixed_point import Ring


@dataclass(frozen=True)
class OutgoingMask:
    """A hospital's side of an attempt.

    Attributes:
        attempt: which.
        seat: of the hospital.
        own: its private mask key.
        self_seed: b, 32 bytes, drawn once for the attempt.
        history: earlier attempts of the round in which it sent a vector.

    Raises:
        FederationError: the hospital does not take part, or not with this key; or a mask key is none.
    """

    attempt: MaskedAttempt
    seat: int
    own: X25519PrivateKey = field(repr=False)
    self_seed: bytes = field(repr=False)
    history: tuple[HistoryEntry, ...] = ()

    def __post_init__(self) -> None:
        held = self.attempt.of(self.seat).key.mask_key
        if held != self.own.public_key().public_bytes_raw():
            where = f"round {self.attempt.round}, attempt {self.attempt.attempt}"
            raise FederationError(f"{where}: the mask key of seat {self.seat} on the ledger is another one.")
        _ = self.pair_seeds

    @cached_property
    def pair_seeds(self) -> Mapping[int, bytes]:
        """k of each pair, by the other's seat, rising."""
        me, context = self.attempt.of(self.seat), self.attempt.context
        return {
            other.seat: pair_seed(self.own, me, other, other.key.mask_key, context)
            for other in self.attempt.neighbours(self.seat)
        }

    def pair_commitment(self, other: int) -> bytes:
        """What both ends of the pair with a seat commit to its seed by."""
        return pair_commitment(self.attempt.context, self.seat, other, self.pair_seeds[other])

    def header(self) -> MaskedHeader:
        """What the hospital commits to; the shares of the self-mask's seed are drawn here and forgotten."""
        attempt, context, seat = self.attempt, self.attempt.context, self.seat
        neighbours = attempt.neighbours(seat)
        shares = shamir.split(self.self_seed, [other.seat for other in neighbours], attempt.numbers.threshold)
        facts = HeaderFacts(
            context=context,
            seat=seat,
            neighbours=attempt.degree,
            sealed=SEALED[attempt.of(seat).key.kem],
            values=attempt.values,
            self_commitment=self_commitment(context, seat, self.self_seed),
            history=self.history,
        )
        return MaskedHeader(
            facts,
            tuple(
                Commitments(
                    pair=self.pair_commitment(other.seat),
                    share=share_commitment(context, seat, other.seat, shares[other.seat]),
                    sealed=other.key.seal(shares[other.seat], share_info(context, seat, other.seat)),
                )
                for other in neighbours
            ),
        )

    def put_on(self, vector: Ring) -> None:
        """Mask an update, uint32 (d,), **in place**."""
        self._apply(vector, 1)

    def take_off(self, vector: Ring) -> None:
        """Unmask what :meth:`put_on` masked, **in place**."""
        self._apply(vector, -1)

    def _apply(self, vector: Ring, sign: int) -> None:
        signed = [(1, self.self_seed)]
        signed += [(sign_of(self.seat, other), seed) for other, seed in self.pair_seeds.items()]
        plus = [seed for one, seed in signed if one == sign]
        minus = [seed for one, seed in signed if one != sign]
        mask.apply(vector, plus, minus)
