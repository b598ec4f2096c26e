"""A hospital's complaint that its update was left out, or lost, held against the record.

A complaint is a hospital's word. Where the record has an update of it, or a cause why it has none, or where
the attempt counted for nobody, it convicts nobody. An update that the record has and that was excluded is
one that the record has, unless nobody has its bytes: those the hospital states to have sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from fedcxr.audit.participation import Absence
from fedcxr.ledger.history import accepted_seats
from fedcxr.ledger.statements import Complaint
from fedcxr.ledger.transaction import decode_error
from fedcxr.ledger.views import FederationViews


def objection(
    said: Complaint,
    ledger: FederationViews,
    missing: Callable[[int], Mapping[int, Absence]],
    never_came: Collection[tuple[int, str]],
) -> str:
    """What the record has against a complaint of a member; empty where it stands.

    Args:
        said: by the hospital.
        ledger: the record.
        missing: hospitals that a finalized round asked and has no update of, by seat.
        never_came: rounds, and hospitals whose update has no bytes, as Evidence has it.
    """
    if not 0 < said.round <= ledger.last_finalized:
        return "the round is not finalized"
    final = ledger.round_events(said.round).attempts[-1]
    if (attempt := final.of("RoundOpened")[0]["attempt"]) != said.attempt:
        return f"attempt {said.attempt} counted for nobody: attempt {attempt} was finalized"
    seat = ledger.seat_of(said.hospital)
    if account := accepted_seats(ledger, final).get(seat):
        return _objection_to_loss(said, ledger, lost=(said.round, account) in never_came)
    absence = missing(said.round).get(seat)
    if absence is None or not absence.asked:
        return "the round did not ask it"
    return absence.cause or came_late(ledger, said.round, said.root)


def _objection_to_loss(said: Complaint, ledger: FederationViews, *, lost: bool) -> str:
    """What the record has against the complaint of a hospital whose update it has."""
    view = ledger.round(said.round)
    seat = ledger.seat_of(said.hospital)
    if not any(ledger.seat_of(excluded) == seat for excluded in view.excluded):
        return "its update stands in the round"
    if not lost:
        return "its update stands in the round, excluded, and that is held to the bytes where these are read"
    roots = {update.root for account, update in view.accepted.items() if ledger.seat_of(account) == seat}
    return "" if roots == {said.root} else "the contract accepted another update of it"


def came_late(ledger: FederationViews, number: int, root: bytes) -> str:
    """That an update was brought to the open round after its deadline; empty where it was not.

    Of other reasons the contract's rejection says little: who sends a copy that is spoilt, or sends it when
    the round is closed, is given one too.
    """
    late = any(
        bytes(values["root"]) == root and decode_error(bytes(values["reason"])).name == "DeadlinePassed"
        for values in ledger.round_events(number).attempts[-1].of("UpdateRejected")
    )
    return "it came after the deadline" if late else ""
