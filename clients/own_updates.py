"""What became of an update that a hospital sent, as the ledger shows it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from clients.watched import SentUpdate
from fedcxr.ledger.history import asked_seats
from fedcxr.ledger.phase import BEGUN_BY, RoundPhase
from fedcxr.ledger.protocol import AcceptedUpdate
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.signing import SignedSubmission, commitment
from fedcxr.ledger.statements import Complaint
from fedcxr.ledger.transaction import decode_error, translated
from fedcxr.ledger.views import FederationViews
from fedcxr.terminal import one_line

Fate = Literal["taken", "accepted", "open", "closed without it", "left out", "excluded"]
"""The contract took it; did, and may not yet have summed it; the round still may; the ledger shows why it did
not; nothing shows why; it was taken, and is not in the sum."""


@dataclass(frozen=True)
class Sighting:
    """What a hospital sees of its update of one attempt.

    Attributes:
        round, attempt: of the update.
        sent: by this hospital for that attempt, the oldest first; sent again where it was asked again. Of one
            that the contract has the commitment of, that one alone.
        fate: what became of it.
        why: in words.
        phase: of that attempt.
        found: the commitment that the contract has in its place; zeros for none.
    """

    round: int
    attempt: int
    sent: tuple[SentUpdate, ...]
    fate: Fate
    why: str
    phase: RoundPhase = RoundPhase.OPEN
    found: bytes = bytes(32)

    @property
    def settled(self) -> bool:
        """Whether nothing more can become of it."""
        return self.fate not in ("accepted", "open")

    @property
    def complains(self) -> bool:
        """Whether the hospital states it under its signature.

        Why an update is not in the sum is the coordinator's word, so any word for it is complained of: the
        hospital did send its bytes, and whoever has the record sees whether the store has them.
        """
        return self.fate in ("left out", "excluded")

    @property
    def newest(self) -> SignedSubmission:
        """What the hospital sent last."""
        return self.sent[-1].signed

    def complaint(self, hospital: str, block: int, hash_of_block: bytes) -> Complaint:
        """What the hospital states of it, having read the ledger up to a block."""
        submission = self.newest.message
        return Complaint(
            federation=submission.federation,
            round=self.round,
            attempt=self.attempt,
            hospital=hospital,
            root=submission.root,
            commitment=commitment(submission),
            found=self.found,
            phase=self.phase.number,
            block=block,
            block_hash=hash_of_block,
        )


def sight(ledger: FederationViews, sent: Sequence[SentUpdate]) -> Sighting:
    """Look for the updates of one attempt, which are all of one hospital.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    (number, attempt), seat = sent[0].place, sent[0].seat
    found = _emitted(ledger, sent) or ledger.commitment(number, attempt, seat)
    there = tuple(one for one in sent if commitment(one.signed.message) == found)
    if there:
        fate, why, phase = _in_the_sum(ledger, number, attempt, seat, "the contract has accepted it")
        return Sighting(number, attempt, there, fate, why, phase, found)
    attempts = ledger.round_events(number).attempts
    here = next((one for one in attempts if one.of("RoundOpened")[0]["attempt"] == attempt), None)
    if here is None:
        why = "the ledger has no such attempt"
        return Sighting(number, attempt, tuple(sent), "closed without it", why, RoundPhase.NONE)
    phase = BEGUN_BY[[event["event"] for event in here.events if event["event"] in BEGUN_BY][-1]]
    if phase != RoundPhase.ABORTED and _under_the_root(here, seat):
        under = "an update of this hospital is under the round's root"
        fate, why, phase = _in_the_sum(ledger, number, attempt, seat, under)
    else:
        fate, why = _fate(ledger, here, seat, sent)
    return Sighting(number, attempt, tuple(sent), fate, why, phase, found)


def _emitted(ledger: FederationViews, sent: Sequence[SentUpdate]) -> bytes:
    """Commitment of an update that the contract said it keeps, by its event, which has been read already.

    Empty where there is no such event of these updates: then the contract itself is asked.
    """
    number, attempt = sent[0].place
    if ledger.recording.listed or not ledger.round_events(number).opened:
        return b""  # where submissions are listed, the event says that one was brought, not that it stays
    view = ledger.round(number)
    if view.attempt != attempt:
        return b""
    for message in (one.signed.message for one in sent):
        kept = view.accepted.get(message.hospital)
        said = AcceptedUpdate(message.root, message.samples, message.size, message.metrics)
        if kept == said and view.base == message.base:
            return commitment(message)
    return b""


def _in_the_sum(
    ledger: FederationViews, number: int, attempt: int, seat: int, accepted: str
) -> tuple[Fate, str, RoundPhase]:
    """What became of an update that the contract has accepted; asked with every message, so in few words."""
    events = ledger.round_events(number)
    if not events.of("RoundFinalized"):
        return "accepted", accepted, RoundPhase.CLOSED
    for values in events.of("UpdateExcluded"):
        final = events.attempts[-1].of("RoundOpened")[0]["attempt"]
        if ledger.seat_of(values["hospital"]) == seat and final == attempt:
            why = f"{accepted}, but it is not in the sum: {one_line(values['reason'])}"
            return "excluded", why, RoundPhase.FINALIZED
    return "taken", accepted, RoundPhase.FINALIZED


def _under_the_root(here: RoundEvents, seat: int) -> bool:
    """Where one root records all, there are no commitments."""
    closed = here.of("RoundClosed")
    return bool(closed and closed[-1]["accepted"] >> seat & 1)


def _fate(
    ledger: FederationViews, here: RoundEvents, seat: int, sent: Sequence[SentUpdate]
) -> tuple[Fate, str]:
    """What the events of its attempt show of an update of which the contract has no commitment."""
    if here.of("RoundAborted"):
        return "closed without it", "the attempt was given up, for everyone"
    if still_open := _still_open(ledger, here):
        return "open", still_open
    if cause := _cause(ledger, here, seat, sent):
        return "closed without it", cause
    return "left out", "the contract did not accept it, and the ledger does not show why"


def _still_open(ledger: FederationViews, here: RoundEvents) -> str:
    """What an open round shows of an update; empty of a round that takes no more."""
    if here.of("RoundClosed"):
        return ""
    if ledger.recording.listed:
        return "the round is open: what it has accepted shows when it is closed"
    late = _now(ledger) > here.of("RoundOpened")[0]["deadline"]
    return "" if late else "the round is open, and the contract does not have it yet"


def _now(ledger: FederationViews) -> int:
    """Chain time of a transaction that is sent now; a chain without one has idle hours."""
    latest = translated(lambda: ledger.w3.eth.get_block("latest"))
    return max(int(latest["timestamp"]), int(time.time()))


def _cause(ledger: FederationViews, here: RoundEvents, seat: int, sent: Sequence[SentUpdate]) -> str:
    """Why the contract does not have it, where that is on the ledger, or in the update itself."""
    if seat not in asked_seats(here):
        return "the ledger does not have this hospital among the participants"
    member = ledger.members()[seat]
    if member.standing != "active":
        return f"this hospital is {member.standing}"
    view = here.view(ledger.rotations())
    flaws = [ledger.acceptance.flaw(one.signed, view, member.samples) for one in sent]
    if all(flaws):
        return f"the contract does not take such a submission: {flaws[-1]}"
    roots = {one.signed.message.root for one in sent}
    late = any(
        bytes(values["root"]) in roots and decode_error(bytes(values["reason"])).name == "DeadlinePassed"
        for values in here.of("UpdateRejected")
    )
    return "it came to the contract after the deadline" if late else ""
