"""Who was asked for an update of a finalized round and has none in it, and what the ledger shows of that.

A hospital is its seat, whatever key it has by then. An update that an attempt had accepted may have been read
before the attempt was given up; that nothing of its hospital is in the attempt that was finalized wants a
cause on the ledger: the hospital's own refusal, its leaving, or a suspension.

The contract rejects most of what it rejects before it looks at the signature, so that anyone may have sent it
in the hospital's name. A rejection is therefore told, and is no cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedcxr.ledger.history import accepted_seats, asked_seats, members_after, membership, place_of
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.transaction import decode_error
from fedcxr.ledger.views import FederationViews

_STANDINGS: Mapping[str, str] = {"suspended": "was suspended", "left": "had left"}
_REJECTIONS = 4  # that are told of one hospital; anyone may have made them


@dataclass(frozen=True)
class Absence:
    """A hospital that a finalized round had asked, in its last attempt or before, and has no update of.

    Attributes:
        hospital: the account that it was asked as.
        seat: its seat.
        asked: whether the attempt that was finalized asked it.
        before: the last of the aborted attempts that had accepted its update; 0 where none had.
        cause: what the ledger shows for it; empty where it shows nothing.
        rejections: why the contract rejected what was sent in its name.
    """

    hospital: str
    seat: int
    asked: bool
    before: int
    cause: str
    rejections: tuple[str, ...]

    @property
    def known(self) -> str:
        """What is known of it, in words."""
        if self.cause:
            return self.cause
        if not self.asked:
            return "not asked"
        if self.rejections:
            return f"the contract rejected what was sent in its name: {', '.join(self.rejections)}"
        return "nothing of it came to the contract"


def absences(ledger: FederationViews, number: int) -> list[Absence]:
    """The hospitals that a finalized round asked and has no accepted update of, by seat."""
    *aborted, final = ledger.round_events(number).attempts
    there, asked = accepted_seats(ledger, final), asked_seats(final)
    before: dict[int, int] = {}
    accounts = dict(asked)
    for attempt in aborted:
        for seat, account in accepted_seats(ledger, attempt).items():
            before[seat] = attempt.of("RoundOpened")[0]["attempt"]
            accounts.setdefault(seat, account)
    missing = sorted(accounts.keys() - there.keys())
    if not missing:
        return []
    changes = membership(ledger)
    seats = {account: m.seat for m in members_after(changes).values() for account in m.accounts}
    return [
        Absence(
            hospital=accounts[seat],
            seat=seat,
            asked=seat in asked,
            before=before.get(seat, 0),
            cause="; ".join([*_refused(ledger, final, seat, seats), *_inactive(final, seat, changes)]),
            rejections=_rejections(final, seat, seats),
        )
        for seat in missing
    ]


def left_unasked(ledger: FederationViews, number: int, attempt: int, seat: int) -> Absence | None:
    """A hospital that an attempt had asked which was given up, and that the finalized one did not ask.

    Nothing of it had been accepted by then: what it sent may have been read and kept back all the same.

    Returns:
        None where that attempt had not asked it, or where it is not as said.
    """
    *aborted, final = ledger.round_events(number).attempts
    then = next((one for one in aborted if one.of("RoundOpened")[0]["attempt"] == attempt), None)
    if then is None or seat not in asked_seats(then) or seat in asked_seats(final):
        return None
    changes = membership(ledger)
    seats = {account: m.seat for m in members_after(changes).values() for account in m.accounts}
    return Absence(
        hospital=asked_seats(then)[seat],
        seat=seat,
        asked=False,
        before=0,
        cause="; ".join([*_refused(ledger, final, seat, seats), *_inactive(final, seat, changes)]),
        rejections=(),
    )


def has_update(ledger: FederationViews, number: int, hospital: str) -> bool:
    """Whether a finalized round has an accepted update of a hospital, under whatever key of its seat."""
    return ledger.seat_of(hospital) in accepted_seats(ledger, ledger.round_events(number).attempts[-1])


def _refused(
    ledger: FederationViews, final: RoundEvents, seat: int, seats: Mapping[str, int]
) -> Iterator[str]:
    """Its word that it was handed a model that is not the round's base, which is a finding by itself."""
    base = bytes(final.of("RoundOpened")[0]["baseDigest"])
    refused = ledger.refusals(final.number).items()
    if any(seats.get(account) == seat and set(seen) != {base} for account, seen in refused):
        yield "it refused the base model that it was handed"


def _inactive(final: RoundEvents, seat: int, changes: Sequence[Any]) -> Iterator[str]:
    """That it was no active member when the round was opened, or was none any more when it was closed."""
    opened = place_of(final.events[0])
    closed = [place_of(event) for event in final.events if event["event"] == "RoundClosed"]
    moments = [("opened", opened), *(("closed", place) for place in closed[:1])]  # a stranger's may have none
    for when, moment in moments:
        members = members_after(event for event in changes if place_of(event) < moment)
        if (standing := members[seat].standing) != "active":
            yield f"it {_STANDINGS[standing]} before the round was {when}"
            return


def _rejections(final: RoundEvents, seat: int, seats: Mapping[str, int]) -> tuple[str, ...]:
    said = final.of("UpdateRejected")
    errors = (decode_error(bytes(v["reason"])).name for v in said if seats.get(v["hospital"]) == seat)
    return tuple(dict.fromkeys(errors))[:_REJECTIONS]
