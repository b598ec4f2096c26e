"""A hospital's second trip of a masked round: what it releases, for one set, once.

It reads the set on the ledger itself and not in the request, holds every neighbour's header to that
neighbour's own signature, and writes down what it releases before it leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidTag

from clients.known_hospitals import check_known_least
from clients.masked_record import MaskedRecord, RecordedAttempt, Released
from clients.member import Member
from clients.settled_set import SettledSet
from fedcxr.errors import EnvelopeError, FederationError, RuleError
from fedcxr.ledger.seats import from_bitmap, to_bitmap
from fedcxr.ledger.views import FederationViews
from fedcxr.masked_rounds.answers import NOTHING, SEED, SHARE, entry, statement
from fedcxr.masked_rounds.attempts import masked_attempt, signed_seats
from fedcxr.masked_rounds.header_leaves import HeaderLeaves, read_header_leaves
from fedcxr.masked_rounds.same_sum import check_same_sum
from fedcxr.messages import UnmaskReply, UnmaskRequest
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.privacy.secagg.outgoing import OutgoingMask
from fedcxr.privacy.secagg.seeds import share_commitment, share_info
from fedcxr.store.identity import Identity


def unmask(member: Member, ledger: FederationViews, request: UnmaskRequest, head: bytes) -> UnmaskReply:
    """Release what takes an attempt's masks off its sum; the caller holds ``member.disk.masking()``.

    Args:
        member: the hospital.
        ledger: by which it reads everything.
        request: what the coordinator asks; nothing in it is believed.
        head: the newest of the chain that the hospital signed, for the coordinator to hand on.

    Raises:
        UnsettledError: the chain may still take the set back.
        RuleError: nothing is released, for a reason that every hospital has: another set than before, one
            that is too small, a header that was not signed, a pair that differs, a sum over others.
        FederationError, StoreError: this hospital has no vector in the attempt, or its record is damaged.
    """
    record = member.disk.masked_record(member.membership.federation)
    recorded = _recorded(record, request)
    settled = SettledSet.read(ledger, request.round, request.attempt, member.config.ledger.head_depth)
    trip = _SecondTrip.of(member, ledger, record, recorded, settled)
    released = recorded.released
    if released is None:
        entries = trip.entries(request)
        digest = trip.attempt.set_digest(settled.accepted)
        released = Released(to_bitmap(settled.accepted), digest, settled.block, settled.block_hash, entries)
        member.disk.write_masked_record(record.changed(replace(recorded, released=released)))
    place = released.block, released.block_hash
    said = statement(trip.attempt, trip.identity.account.address, settled.accepted, place, released.entries)
    return UnmaskReply(
        round=request.round,
        attempt=request.attempt,
        hospital=said.hospital,
        context=said.context,
        accepted=said.accepted.to_bytes(32),
        block=said.block,
        block_hash=said.block_hash,
        answer=released.entries,
        signature=member.sign(said, trip.identity),
        head=head,
    )


def _recorded(record: MaskedRecord, request: UnmaskRequest) -> RecordedAttempt:
    """The attempt as this hospital wrote it down, in which it has sent a vector and acts still."""
    where = f"round {request.round}, attempt {request.attempt}"
    recorded = record.of(request.attempt) if record.round == request.round else None
    if recorded is None or recorded.sent is None:
        raise FederationError(f"{where}: this hospital has sent no vector in it.")
    if recorded.closed:
        raise RuleError(f"{where}: a later attempt was begun; nothing of this one is released.")
    return recorded


@dataclass(frozen=True)
class _SecondTrip:
    """One request, once the ledger has the attempt and the set in which this hospital may answer.

    Attributes:
        member: the hospital.
        ledger: by which it reads everything.
        record: as it is written down.
        recorded: the attempt in it.
        settled: the set.
        attempt: as the ledger has it, and as it had it in the first trip.
        seat: of the hospital.
        identity: its keys when the attempt was opened.
    """

    member: Member
    ledger: FederationViews
    record: MaskedRecord
    recorded: RecordedAttempt
    settled: SettledSet
    attempt: MaskedAttempt
    seat: int
    identity: Identity

    @classmethod
    def of(
        cls,
        member: Member,
        ledger: FederationViews,
        record: MaskedRecord,
        recorded: RecordedAttempt,
        settled: SettledSet,
    ) -> _SecondTrip:
        """Raises RuleError where it may not answer for this set, or at all."""
        where, released = settled.where, recorded.released
        attempt = _attempt(member, ledger, record.round, recorded.attempt)
        if attempt.context != recorded.context:
            raise RuleError(f"{where}: the ledger has other participants, keys or weights than it had.")
        assert recorded.sent is not None
        try:
            held = attempt.of(ledger.seat_of(recorded.sent.message.hospital))
            attempt.check_set(settled.accepted)
        except FederationError as error:
            raise RuleError(str(error)) from None
        if held.seat not in settled.accepted:
            raise RuleError(f"{where}: this hospital's update is not in the set.")
        seats = signed_seats(ledger, settled.events.events[0])
        limits = member.disk.settings.limits
        check_known_least(limits, f"{where}: the set", held.seat, seats, settled.accepted)
        if released is not None and released.accepted != to_bitmap(settled.accepted):
            raise RuleError(
                f"{where}: this hospital has released what takes the masks off the updates of seats "
                f"{from_bitmap(released.accepted)}. It answers for no other set, and is asked for "
                f"{list(settled.accepted)}."
            )
        identity = member.identity_of(held.account)
        return cls(member, ledger, record, recorded, settled, attempt, held.seat, identity)

    def entries(self, request: UnmaskRequest) -> bytes:
        """What is released to each neighbour, once every header of the set holds.

        Raises:
            RuleError: one does not; nothing is released.
        """
        where, attempt, seat = self.settled.where, self.attempt, self.seat
        submissions = self.settled.submissions(self.ledger, attempt, request.listing)
        assert self.recorded.sent is not None
        if submissions[seat].message.root != self.recorded.sent.message.root:
            raise RuleError(f"{where}: the ledger has another vector of this hospital than it sent.")
        try:
            shown = list(read_header_leaves(request.bulk, attempt, seat, submissions))
        except EnvelopeError as error:
            raise RuleError(f"{where}: {error}") from None
        others = [other for other in self.settled.accepted if other != seat]
        if [header.owner for header in shown] != others:
            raise RuleError(f"{where}: the headers that are shown are not those of the set.")
        history = tuple(one.entry for one in self.record.sent if one.attempt != self.recorded.attempt)
        histories = {header.owner: header.facts.history for header in shown} | {seat: history}
        check_same_sum(attempt, self.settled.accepted, histories, self._earlier)
        own = self.identity.envelope_key.mask_key
        if own is None:
            raise FederationError(f"{where}: the mask key of then is not here any more.")
        mask = OutgoingMask(attempt, seat, own, self.recorded.self_seed, history)
        return self._released(mask, {header.owner: header for header in shown})

    def _released(self, mask: OutgoingMask, headers: Mapping[int, HeaderLeaves]) -> bytes:
        for other, header in headers.items():
            if header.commitments.pair != mask.pair_commitment(other):
                raise RuleError(
                    f"{self.settled.where}: seat {other} has committed to another seed of the pair with this "
                    "hospital: one of both ends lies. Nothing is released."
                )
        entries = []
        for neighbour in self.attempt.neighbours(self.seat):
            shown = headers.get(neighbour.seat)
            if shown is None:
                entries.append(entry(SEED, mask.pair_seeds[neighbour.seat]))
            elif (share := self._opened(shown)) is None:
                entries.append(entry(NOTHING))
            else:
                entries.append(entry(SHARE, share))
        return b"".join(entries)

    def _opened(self, header: HeaderLeaves) -> bytes | None:
        """The share that an owner sealed to this hospital; None where none opens that it committed to."""
        context, sealed = self.attempt.context, header.commitments.sealed
        info = share_info(context, header.owner, self.seat)
        try:
            share = self.identity.envelope_key.open(sealed, info)
        except (InvalidTag, ValueError):
            return None
        good = share_commitment(context, header.owner, self.seat, share) == header.commitments.share
        return share if good else None

    def _earlier(self, attempt: int) -> MaskedAttempt:
        return _attempt(self.member, self.ledger, self.record.round, attempt)


def _attempt(member: Member, ledger: FederationViews, number: int, attempt: int) -> MaskedAttempt:
    parts, values = member.config.privacy.colluder_parts, member.layout.size
    try:
        return masked_attempt(ledger, number, parts, values, attempt=attempt)
    except FederationError as error:
        raise RuleError(str(error)) from None
