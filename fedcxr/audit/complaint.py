"""A hospital's complaint that its update was left out, held against the record.

A complaint is a hospital's word. Where the record has an update of it, or a cause why it has none, or where
the attempt counted for nobody, it convicts nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fedcxr.audit.participation import Absence
from fedcxr.ledger.history import accepted_seats
from fedcxr.ledger.statements import Complaint
from fedcxr.ledger.transaction import decode_error
from fedcxr.ledger.views import FederationViews


def objection(
    said: Complaint, ledger: FederationViews, missing: Callable[[int], Mapping[int, Absence]]
) -> str:
    """What the record has against a complaint of a member; empty where it stands.

    Args:
        said: by the hospital.
        ledger: the record.
        missing: hospitals that a finalized round asked and has no update of, by seat.
    """
    if not 0 < said.round <= ledger.last_finalized:
        return "the round is not finalized"
    final = ledger.round_events(said.round).attempts[-1]
    if (attempt := final.of("RoundOpened")[0]["attempt"]) != said.attempt:
        return f"attempt {said.attempt} counted for nobody: attempt {attempt} was finalized"
    seat = ledger.seat_of(said.hospital)
    if seat in accepted_seats(ledger, final):
        return "its update stands in the round"
    absence = missing(said.round).get(seat)
    if absence is None or not absence.asked:
        return "the round did not ask it"
    return absence.cause or came_late(ledger, said.round, said.root)


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
