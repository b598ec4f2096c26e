"""A hospital's first trip of a masked round: what it sees to and writes down before its vector leaves."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from clients.known_hospitals import check_participants
from clients.masked_record import MaskedRecord, RecordedAttempt
from clients.member import Member
from clients.open_round import OpenRound
from fedcxr.errors import FederationError, RuleError
from fedcxr.ledger.history import accepted_seats
from fedcxr.ledger.signing import SignedSubmission, Submission
from fedcxr.ledger.views import FederationViews
from fedcxr.masked_rounds.attempts import masked_attempt, signed_seats
from fedcxr.privacy.masked import read_header
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.privacy.secagg.header import ENTRIES
from fedcxr.privacy.secagg.outgoing import OutgoingMask
from fedcxr.privacy.secagg.seeds import LENGTH
from fedcxr.update import merkle
from fedcxr.update.fixed_point import Ring
from fedcxr.update.round_config import RoundConfig

logger = logging.getLogger(__name__)


@dataclass
class Masking:
    """A hospital in one attempt, from :meth:`begin` on; its record is locked meanwhile.

    Attributes:
        member: the hospital.
        ledger: by which it reads the attempt.
        attempt: which.
        mask: its side of it.
        record: as it is written down.
    """

    member: Member
    ledger: FederationViews
    attempt: MaskedAttempt
    mask: OutgoingMask
    record: MaskedRecord

    @classmethod
    def begin(cls, member: Member, asked: OpenRound, round_config: RoundConfig) -> Masking:
        """Read the attempt, see that it may be masked in, and write down that it is begun.

        The caller holds ``member.disk.masking()``, and has held the configuration to the ledger.

        Raises:
            RuleError: it may not; says which rule.
            FederationError, StoreError: the hospital's own record or keys stand against it.
        """
        assert asked.ledger is not None
        ledger, number = asked.ledger, asked.number
        attempt, seat, own = _read_attempt(member, asked)
        record = member.disk.masked_record(member.membership.federation)
        check_journal(member.disk.submissions(), record)
        record = _counted(member, ledger, seat, attempt, record)
        check_put_back(ledger, seat, record, number)
        scale = round_config.scale_digest
        if number != record.round:
            record = _next_round(record, attempt, scale)
        begun = record.of(attempt.attempt) or _new(record, attempt, scale)
        if begun.context != attempt.context or begun.closed:
            raise RuleError(
                f"round {number}, attempt {attempt.attempt}: it was begun before with other participants, "
                "keys or weights, or is over: a hospital masks under one context in an attempt."
            )
        history = tuple(one.entry for one in record.sent if one.attempt != attempt.attempt)
        try:
            mask = OutgoingMask(attempt, seat, own, begun.self_seed, history)
        except FederationError as error:
            raise RuleError(str(error)) from None
        if record.of(attempt.attempt) is None:
            record = record.beginning(begun)
        member.disk.write_masked_record(record)
        if warning := attempt.numbers.warning:
            logger.warning("round %d: %s", number, warning)
        return cls(member, ledger, attempt, mask, record)

    @property
    def begun(self) -> RecordedAttempt:
        """The attempt as it is written down."""
        found = self.record.of(self.attempt.attempt)
        assert found is not None
        return found

    def sent_before(self) -> tuple[SignedSubmission, bytes, bytes] | None:
        """What left, or may have left, in this very attempt: its submission, its metrics and its bytes.

        Raises:
            FederationError: it did, and the bytes are not there any more: nothing else may be sent.
        """
        if (signed := self.begun.sent) is None:
            return None
        message, disk = signed.message, self.member.disk
        blob = disk.kept_update(self.member.address, message.root, message.size)
        if blob is None:
            raise FederationError(
                f"round {message.round}, attempt {message.attempt}: the vector that this hospital has signed "
                "is lost; another one is not masked by the same masks. It is missing in this attempt."
            )
        return signed, self.begun.metrics, blob

    def kept_update(self) -> tuple[Ring, bytes, int] | None:
        """The update of an earlier attempt of the round without its masks, its metrics, and its samples.

        None where there is none that could be sent again: then training it anew gives the same bits.
        """
        weight = self.attempt.of(self.mask.seat).weight
        for before in reversed([one for one in self.record.sent if one.attempt != self.attempt.attempt]):
            assert before.sent is not None
            message = before.sent.message
            blob = self.member.disk.kept_update(self.member.address, message.root, message.size)
            if blob is None:
                continue
            parts, values = self.member.config.privacy.colluder_parts, self.member.layout.size
            earlier = masked_attempt(self.ledger, self.attempt.round, parts, values, attempt=before.attempt)
            if earlier.context != before.context or earlier.of(self.mask.seat).weight != weight:
                continue
            if earlier.config_digest != self.attempt.config_digest:
                continue  # other labels may be withheld
            former = self.member.identity_of(earlier.of(self.mask.seat).account).envelope_key.mask_key
            if former is None:
                continue
            header = read_header(blob).facts
            vector = np.frombuffer(blob, "<u4", offset=header.leaves * merkle.LEAF_SIZE).copy()
            OutgoingMask(earlier, self.mask.seat, former, before.self_seed).take_off(vector)
            return vector, before.metrics, message.samples
        return None

    def write_sent(self, signed: SignedSubmission, metrics: bytes) -> None:
        """Write down what is about to leave; from here on nothing else leaves in this attempt."""
        self.record = self.record.changed(replace(self.begun, sent=signed, metrics=metrics))
        self.member.disk.write_masked_record(self.record)


def check_journal(signed: Iterable[Submission], record: MaskedRecord) -> None:
    """See that the record has every vector of this hospital that its journals have, from its newest round on.

    What leaves is written into the record before the journal has it.

    Raises:
        FederationError: it lacks one: it was put back from a copy.
    """
    for message in signed:
        if message.round < record.round or (message.round == record.round and record.renewed):
            continue
        known = record.of(message.attempt) if message.round == record.round else None
        if known is None or known.sent is None or known.sent.message.root != message.root:
            raise FederationError(
                f"this hospital has signed a vector in round {message.round}, attempt {message.attempt}, of "
                "which masked.json does not know: it was put back from a copy. Remove it, and make it anew "
                "with `fedcxr member renew`."
            )


def check_put_back(ledger: FederationViews, seat: int, record: MaskedRecord, number: int) -> None:
    """See that the record has every vector of this hospital that the ledger has, from its newest round on.

    Raises:
        FederationError: it lacks one: the hospital's directory was put back from a copy.
    """
    for round_number in range(record.round + 1 if record.renewed else max(1, record.round), number + 1):
        events = ledger.round_events(round_number)
        for attempt in events.attempts if events.opened else []:
            if seat not in accepted_seats(ledger, attempt):
                continue
            which = int(attempt.of("RoundOpened")[0]["attempt"])
            known = record.of(which) if round_number == record.round else None
            roots = [
                bytes(values["root"])
                for values in attempt.of("UpdateAccepted")  # none where one root records all
                if ledger.seat_of(values["hospital"]) == seat
            ]
            sent = None if known is None or known.sent is None else known.sent.message.root
            if sent is None or (roots and sent not in roots):
                raise FederationError(
                    f"the ledger has a vector of this hospital in round {round_number}, attempt {which}, of "
                    "which masked.json does not know: the hospital's directory was put back from a copy. It "
                    "must not mask with what it remembers now: remove masked.json, and make it anew with "
                    "`fedcxr member renew`."
                )


def _read_attempt(member: Member, asked: OpenRound) -> tuple[MaskedAttempt, int, X25519PrivateKey]:
    """The attempt as the ledger has it, with this hospital's seat in it and its own mask key.

    Raises:
        RuleError: it cannot be masked in.
        StoreError: the keys of then are not here any more.
    """
    assert asked.ledger is not None
    assert asked.view is not None
    number, seat = asked.number, asked.view.seats[member.address]
    parts, values = member.config.privacy.colluder_parts, member.layout.size
    try:
        attempt = masked_attempt(asked.ledger, number, parts, values)
        held = attempt.of(seat)
    except FederationError as error:
        raise RuleError(str(error)) from None
    key = member.identity_of(held.account).envelope_key
    if key.mask_key is None or key.public.digest != held.key.digest:
        raise RuleError(f"round {number}: the ledger has another key of this hospital.")
    return attempt, seat, key.mask_key


def _counted(
    member: Member, ledger: FederationViews, seat: int, attempt: MaskedAttempt, record: MaskedRecord
) -> MaskedRecord:
    """The record with the hospitals that were counted, once none of those of before is hidden.

    Raises:
        RuleError: one is gone without having signed it, or too many are none that the hospital knows.
    """
    number = attempt.round
    opened = ledger.round_events(number).attempts[-1].events[0]
    seats = signed_seats(ledger, opened)
    accounts = {account for each in seats.values() for account in each.accounts}
    if gone := sorted(set(record.accounts) - accounts):
        raise RuleError(
            f"round {number}: {', '.join(gone)[:400]} took part in this federation before, and the ledger "
            "does not have them any more, nor that they left: hospitals are hidden from this one."
        )
    check_participants(member.disk.settings.limits, attempt, seat, seats)
    hospitals = (account for each in seats.values() if each.hospital for account in each.accounts)
    return replace(record, accounts=tuple(sorted({*record.accounts, *hospitals})))


def _next_round(record: MaskedRecord, attempt: MaskedAttempt, scale: bytes) -> MaskedRecord:
    if attempt.round < record.round:
        raise RuleError(f"round {attempt.round}: round {record.round} was masked before it.")
    bases = {*record.bases, record.base} if record.sent else set(record.bases)
    if attempt.base in bases:
        raise RuleError(
            f"round {attempt.round}: it starts from the model of an earlier masked round. A second round "
            "from one model could sum the same updates over other hospitals."
        )
    return record.in_round(attempt.round, attempt.base, scale)


def _new(record: MaskedRecord, attempt: MaskedAttempt, scale: bytes) -> RecordedAttempt:
    where = f"round {attempt.round}, attempt {attempt.attempt}"
    if record.newest is not None and attempt.attempt < record.newest.attempt:
        raise RuleError(f"{where}: attempt {record.newest.attempt} was masked after it.")
    if (attempt.base, scale) != (record.base, record.config_digest):
        raise RuleError(f"{where}: it has another model or configuration than the attempts before it.")
    if len(record.sent) >= ENTRIES:
        raise RuleError(
            f"{where}: this hospital has sent a vector in {ENTRIES} attempts, the most there are."
        )
    return RecordedAttempt(attempt.attempt, attempt.context, attempt.preimage, secrets.token_bytes(LENGTH))
