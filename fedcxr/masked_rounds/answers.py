"""What hospitals release in the second trip of a masked round, and the seeds that follow from it.

An answer has one thing for each neighbour: a share of its self-mask's seed where the neighbour is in the set,
the seed of their pair where it is not. Each is held to what its owner committed to in its header, so that a
wrong one names its hospital.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fedcxr.errors import FederationError
from fedcxr.ledger.seats import from_bitmap, to_bitmap
from fedcxr.ledger.signing import Domain, recover
from fedcxr.ledger.statements import SignedUnmasking, Unmasking
from fedcxr.privacy.secagg import shamir
from fedcxr.privacy.secagg.attempt import MaskedAttempt, sign_of
from fedcxr.privacy.secagg.header import MaskedHeader
from fedcxr.privacy.secagg.seeds import (
    LENGTH,
    pair_commitment,
    self_commitment,
    share_commitment,
    tag,
)

ENTRY = 1 + shamir.LENGTH
"""Bytes of an entry."""

NOTHING, SHARE, SEED = 0, 1, 2
"""Kinds of an entry: of a neighbour in the set that sealed no good share, of one in it, of a missing one."""


class Fault(NamedTuple):
    """Something that a hospital of a masked round is convicted of by what it signed.

    Attributes:
        seat: of the hospital.
        what: in words.
    """

    seat: int
    what: str


class Answer(NamedTuple):
    """A hospital's answer.

    Attributes:
        seat: of the hospital.
        signed: its statement.
        entries: what it released, an entry for each neighbour by rising seat.
    """

    seat: int
    signed: SignedUnmasking
    entries: bytes


class Seeds(NamedTuple):
    """What takes the masks off a sum: 32 bytes each.

    Attributes:
        own: of each self-mask in the sum, by seat.
        pairs: of each pair of which one end is in the sum and the other missing, by both seats in that order.
    """

    own: Mapping[int, bytes]
    pairs: Mapping[tuple[int, int], bytes]

    @property
    def added(self) -> list[bytes]:
        """Of masks that the updates of the sum have in them."""
        return [*self.own.values(), *(seed for (i, j), seed in self.pairs.items() if sign_of(i, j) > 0)]

    @property
    def taken_off(self) -> list[bytes]:
        """Of masks that were taken off them."""
        return [seed for (i, j), seed in self.pairs.items() if sign_of(i, j) < 0]


def entry(kind: int, secret: bytes = b"") -> bytes:
    """The bytes of one entry."""
    return bytes([kind]) + secret.ljust(shamir.LENGTH, b"\0")


def entries_of(
    attempt: MaskedAttempt, seat: int, accepted: Sequence[int], entries: bytes
) -> Iterator[tuple[int, int, bytes]]:
    """The seat of each neighbour with the kind and the secret of its entry.

    Raises:
        FederationError: the bytes are no answer to this set.
    """
    neighbours = attempt.neighbours(seat)
    if len(entries) != ENTRY * len(neighbours):
        raise FederationError(f"an answer of {len(entries)} bytes for {len(neighbours)} neighbours.")
    for index, other in enumerate(neighbours):
        data = entries[index * ENTRY : (index + 1) * ENTRY]
        kind, secret = data[0], data[1:]
        if kind == SEED:
            secret = secret[:LENGTH]
        due = kind in (NOTHING, SHARE) if other.seat in accepted else kind == SEED
        if not due or data != entry(kind, b"" if kind == NOTHING else secret):
            raise FederationError(f"the entry of seat {other.seat} is not one for this set.")
        yield other.seat, kind, secret


def answer_digest(entries: bytes) -> bytes:
    """What is signed of an answer's entries."""
    return hashlib.sha256(tag("fedcxr/masked/answer/1") + entries).digest()


def statement(
    attempt: MaskedAttempt, hospital: str, accepted: Sequence[int], block: tuple[int, bytes], entries: bytes
) -> Unmasking:
    """What a hospital signs of its answer.

    Args:
        attempt: which.
        hospital: its account at the opening.
        accepted: the set that it answers for.
        block: number and hash of the block at which it read the set.
        entries: of the answer.
    """
    return Unmasking(
        federation=attempt.federation,
        round=attempt.round,
        attempt=attempt.attempt,
        hospital=hospital,
        context=attempt.context,
        accepted=to_bitmap(accepted),
        block=block[0],
        block_hash=block[1],
        answer=answer_digest(entries),
    )


@dataclass
class Answers:
    """The answers of one attempt, as they come, and what they give.

    Attributes:
        attempt: which.
        accepted: A, the seats of the set, rising.
        headers: of the updates in it, by seat.
        domain: in which hospitals sign.
        taken: answers that count, by seat; wrong ones among them are told by :attr:`faults`.
        faults: what hospitals are convicted of so far.
    """

    attempt: MaskedAttempt
    accepted: tuple[int, ...]
    headers: Mapping[int, MaskedHeader]
    domain: Domain
    taken: dict[int, Answer] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    _shares: dict[int, dict[int, bytes]] = field(default_factory=dict)  # by owner and holder
    _unopened: dict[int, set[int]] = field(default_factory=dict)  # by owner: who says that it sealed nothing
    _pairs: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def take(self, answer: Answer) -> None:
        """Take an answer; a second one of a hospital changes nothing.

        Raises:
            FederationError: it does not count: another attempt or set, no member of the set, not signed by
                its account, or no answer at all.
        """
        seat, message = answer.seat, answer.signed.message
        if seat not in self.accepted:
            raise FederationError(f"seat {seat} answers, and is not in the set.")
        hospital = self.attempt.of(seat)
        expected = statement(
            self.attempt, message.hospital, self.accepted, (message.block, message.block_hash), answer.entries
        )
        if message != expected:
            told = "another set" if message.accepted != expected.accepted else "something else"
            raise FederationError(
                f"seat {seat} answers for {told}: {from_bitmap(message.accepted)!s:.200}, where the ledger "
                f"has {list(self.accepted)!s:.200}."
            )
        if bytes.fromhex(message.hospital[2:]) != hospital.address:
            raise FederationError(f"seat {seat} answers as {message.hospital}, which is not its account.")
        if recover(message, answer.signed.signature, self.domain) != message.hospital:
            raise FederationError(f"seat {seat}: its answer is not signed by it.")
        entries = list(entries_of(self.attempt, seat, self.accepted, answer.entries))
        if self.taken.setdefault(seat, answer) is not answer:
            return
        for other, kind, secret in entries:
            self._take_entry(seat, other, kind, secret)

    def _take_entry(self, seat: int, other: int, kind: int, secret: bytes) -> None:
        context = self.attempt.context
        if kind == SHARE:
            committed = self._committed(other, seat).share
            if share_commitment(context, other, seat, secret) == committed:
                self._shares.setdefault(other, {})[seat] = secret
            else:
                self.faults.append(Fault(seat, f"its share of seat {other} is not the one it was sealed"))
        elif kind == SEED:
            if pair_commitment(context, seat, other, secret) == self._committed(seat, other).pair:
                self._pairs[seat, other] = secret
            else:
                self.faults.append(Fault(seat, f"its seed with seat {other} is not the one it committed to"))
        else:
            self._unopened.setdefault(other, set()).add(seat)
            if len(self._unopened[other]) == self.attempt.numbers.colluders + 1:
                self.faults.append(Fault(other, "it sealed shares that do not open"))

    def _committed(self, owner: int, other: int) -> _Committed:
        """What the header of ``owner`` has for ``other``."""
        index = [each.seat for each in self.attempt.neighbours(owner)].index(other)
        found = self.headers[owner].commitments[index]
        return _Committed(found.pair, found.share)

    @property
    def missing(self) -> list[int]:
        """Participants that are not in the set."""
        return [seat for seat in self.attempt.seats if seat not in self.accepted]

    @property
    def lacking(self) -> str:
        """What still lacks before the masks can be taken off, in words; empty where nothing does."""
        needed = self.attempt.numbers.threshold
        short = [seat for seat in self.accepted if len(self._shares.get(seat, ())) < needed]
        edges = [(i, j) for i in self.accepted for j in self.missing if (i, j) not in self._pairs]
        if not short and not edges:
            return ""
        said = []
        if short:
            said.append(f"shares of the self-masks of seats {short}, {needed} of each")
        if edges:
            said.append(f"the seeds that seats {sorted({i for i, _ in edges})} share with missing ones")
        return " and ".join(said)

    def out_of_reach(self, silent: Collection[int]) -> str:
        """Why the masks cannot come off any more if these seats answer nothing; empty where they can."""
        needed = self.attempt.numbers.threshold
        coming = {seat for seat in self.accepted if seat not in self.taken and seat not in silent}
        short = [
            seat
            for seat in self.accepted
            if len(self._shares.get(seat, {}).keys() | coming - {seat}) < needed
        ]
        edges = sorted(
            {i for i in self.accepted for j in self.missing if (i, j) not in self._pairs and i not in coming}
        )
        if short:
            return f"fewer than {needed} shares of the self-masks of seats {short} can come"
        return f"the seeds of seats {edges} with missing ones cannot come" if edges else ""

    def seeds(self) -> Seeds:
        """The seeds that take the masks off.

        Raises:
            FederationError: something lacks, or the shares of a seat are none of the seed that it committed
                to: it is among :attr:`faults` then.
        """
        if self.lacking:
            raise FederationError(f"round {self.attempt.round}: {self.lacking} have not come.")
        own = {}
        for seat in self.accepted:
            try:
                seed = shamir.join(self._shares[seat], self.attempt.numbers.threshold)
            except FederationError:
                seed = b""
            committed = self.headers[seat].facts.self_commitment
            if self_commitment(self.attempt.context, seat, seed) != committed:
                self.faults.append(Fault(seat, "the shares that it dealt are none of its seed"))
                raise FederationError(f"round {self.attempt.round}: the shares of seat {seat} are none.")
            own[seat] = seed
        return Seeds(own, {edge: self._pairs[edge] for edge in sorted(self._pairs)})


class _Committed(NamedTuple):
    pair: bytes
    share: bytes


def pairs_that_differ(
    attempt: MaskedAttempt, accepted: Sequence[int], headers: Mapping[int, MaskedHeader]
) -> list[tuple[int, int]]:
    """Pairs in a set whose ends committed to two seeds; the sum over them could not be unmasked."""
    places = {
        seat: {each.seat: index for index, each in enumerate(attempt.neighbours(seat))} for seat in accepted
    }
    return [
        (i, j)
        for i in accepted
        for j in accepted
        if i < j and headers[i].commitments[places[i][j]].pair != headers[j].commitments[places[j][i]].pair
    ]


def seed_faults(attempt: MaskedAttempt, headers: Mapping[int, MaskedHeader], seeds: Seeds) -> list[Fault]:
    """Which published seeds are not those that the hospitals of the set committed to."""
    faults = [
        Fault(seat, "the seed of its self-mask is not the one it committed to")
        for seat, seed in seeds.own.items()
        if self_commitment(attempt.context, seat, seed) != headers[seat].facts.self_commitment
    ]
    for (i, j), seed in seeds.pairs.items():
        index = [each.seat for each in attempt.neighbours(i)].index(j)
        if pair_commitment(attempt.context, i, j, seed) != headers[i].commitments[index].pair:
            faults.append(Fault(i, f"the seed that it shares with seat {j} is not the one it committed to"))
    return faults
