"""An attempt at a masked round, as everyone reads it on the ledger, and the context that all of it gives.

Whoever is shown another attempt, with one other key in it, has another context, and with it other masks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from fedcxr.chain.address import checksummed
from fedcxr.errors import FederationError
from fedcxr.privacy.keys import EnvelopePublicKey
from fedcxr.privacy.secagg.parameters import RoundNumbers
from fedcxr.privacy.secagg.seeds import LENGTH, Participant, tag

_MOST_ATTEMPTS = 1 << 32
_NO_GRAPH = bytes(LENGTH)


@dataclass(frozen=True)
class MaskingHospital(Participant):
    """A participant with its weight in the round, and its keys at the attempt's opening.

    Attributes:
        weight: as the contract has it.
        key: its envelope key with its mask key, as its account signed them.
    """

    weight: int
    key: EnvelopePublicKey

    @property
    def account(self) -> str:
        """Its address, with the checksum."""
        return checksummed(self.address)


@dataclass(frozen=True)
class MaskedAttempt:
    """What every hospital of an attempt must have been shown alike.

    Attributes:
        federation: 32 bytes.
        chain_id, contract: of the ledger; the contract's address in 20 bytes.
        round, attempt: 1-based.
        base: digest of the model that hospitals start from.
        config_digest: of the round's configuration.
        layout: digest of the layout.
        values: d, words of the vector.
        numbers: n, c, m and t.
        participants: by rising seat.

    Raises:
        FederationError: a number that its place in the context cannot hold, a seat that is there twice, two
            seats of one account, or a participant without a mask key.
    """

    federation: bytes
    chain_id: int
    contract: bytes
    round: int
    attempt: int
    base: bytes
    config_digest: bytes
    layout: bytes
    values: int
    numbers: RoundNumbers
    participants: tuple[MaskingHospital, ...]

    def __post_init__(self) -> None:
        where = f"round {self.round}, attempt {self.attempt}"
        seats = [each.seat for each in self.participants]
        if seats != sorted(set(seats)) or len(seats) != self.numbers.participants:
            raise FederationError(f"{where}: participants are not in the order of their seats.")
        if len({each.address for each in self.participants}) != len(seats):
            raise FederationError(f"{where}: two seats have one account.")
        if not 0 < self.attempt < _MOST_ATTEMPTS or not 0 < self.round < 1 << 64:
            raise FederationError(f"{where}: no such number of a round or an attempt.")
        if not 0 <= self.chain_id < 1 << 64:
            raise FederationError(f"{where}: chain id {self.chain_id} has more than eight bytes.")
        for each in self.participants:
            if not each.key.mask_key:
                raise FederationError(
                    f"{where}: seat {each.seat} has no mask key: its hospital joined before the federation "
                    "masked updates, and has to rotate its keys (fedcxr member rotate)."
                )
            if each.key.kem != self.participants[0].key.kem:
                raise FederationError(f"{where}: seat {each.seat} has a key of another kind than the others.")

    @cached_property
    def preimage(self) -> bytes:
        """What the context is the digest of: 254 bytes, and 58 more for each participant."""
        numbers = self.numbers
        return b"".join(
            (
                tag("fedcxr/masked/context/1"),
                self.federation,
                self.chain_id.to_bytes(8),
                self.contract,
                self.round.to_bytes(8),
                self.attempt.to_bytes(8),
                self.base,
                self.config_digest,
                self.layout,
                self.values.to_bytes(8),
                *(
                    number.to_bytes(2)
                    for number in (
                        numbers.participants,
                        numbers.colluders,
                        numbers.threshold,
                        numbers.smallest,
                        self.degree,
                    )
                ),
                _NO_GRAPH,
                *(
                    each.seat.to_bytes(2) + each.address + each.weight.to_bytes(4) + each.key.digest
                    for each in self.participants
                ),
            )
        )

    @cached_property
    def context(self) -> bytes:
        """SHA-256 of the preimage."""
        return hashlib.sha256(self.preimage).digest()

    @property
    def degree(self) -> int:
        """k, neighbours of each participant: all others."""
        return self.numbers.participants - 1

    @property
    def seats(self) -> list[int]:
        """Of the participants, rising."""
        return [each.seat for each in self.participants]

    def of(self, seat: int) -> MaskingHospital:
        """The participant in a seat.

        Raises:
            FederationError: there is none.
        """
        for each in self.participants:
            if each.seat == seat:
                return each
        raise FederationError(f"round {self.round}, attempt {self.attempt}: seat {seat} does not take part.")

    def seat_of(self, address: bytes) -> int:
        """The seat of a participant's account.

        Raises:
            FederationError: it is none's.
        """
        for each in self.participants:
            if each.address == address:
                return each.seat
        where = f"round {self.round}, attempt {self.attempt}"
        raise FederationError(f"{where}: {checksummed(address)} does not take part.")

    def neighbours(self, seat: int) -> list[MaskingHospital]:
        """Whom a participant shares a mask with, by rising seat."""
        return [each for each in self.participants if each.seat != self.of(seat).seat]

    def check_set(self, accepted: Sequence[int]) -> None:
        """See that a set of seats may be unmasked.

        Raises:
            FederationError: it has a seat that does not take part, or is smaller than the smallest one.
        """
        where = f"round {self.round}, attempt {self.attempt}"
        if strangers := set(accepted) - set(self.seats):
            raise FederationError(f"{where}: seats {sorted(strangers)} are in the set and do not take part.")
        if len(accepted) < self.numbers.smallest:
            raise FederationError(
                f"{where}: {len(accepted)} updates were accepted, and a sum of fewer than "
                f"{self.numbers.smallest} is not unmasked."
            )

    def set_digest(self, accepted: Sequence[int]) -> bytes:
        """Digest of a set of seats, with their weights in this attempt."""
        return set_digest(self.round, self.attempt, {seat: self.of(seat).weight for seat in accepted})


def set_digest(number: int, attempt: int, weights: Mapping[int, int]) -> bytes:
    """Digest of a set for which an attempt at a round was unmasked, or would have been.

    Args:
        number: of the round.
        attempt: 1-based.
        weights: of the members of the set, by seat.
    """
    place = number.to_bytes(8) + attempt.to_bytes(8)
    bitmap = sum(1 << seat for seat in weights).to_bytes(32)
    by_seat = b"".join(weights[seat].to_bytes(4) for seat in sorted(weights))
    return hashlib.sha256(tag("fedcxr/masked/set/1") + place + bitmap + by_seat).digest()


def sign_of(seat: int, other: int) -> int:
    """1 where a pair's mask is added by a seat, -1 where it is taken off."""
    return 1 if seat < other else -1
