"""What became of members, from the contract's events about them, whoever has read the events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fedcxr.errors import LedgerError

Standing = Literal["active", "suspended", "left"]
_STANDING_AFTER: Mapping[str, Standing] = {
    "MemberSuspended": "suspended",
    "MemberReinstated": "active",
    "MemberLeft": "left",
}
MEMBERSHIP_EVENTS = ("MemberJoined", "KeyRotated", *_STANDING_AFTER)
"""Names of the events that :func:`follow` understands."""


@dataclass
class MemberState:
    """A seat after some of its events.

    Attributes:
        seat: 0 to 255; its member's for ever.
        accounts: the address of every key, the present one last.
        samples: registered images; 0 where the member is no hospital.
        roles: bits of :mod:`fedcxr.ledger.signing`.
        envelope_key: the present one.
        standing: whether its key may act.
    """

    seat: int
    accounts: list[str]
    samples: int
    roles: int
    envelope_key: bytes
    standing: Standing = "active"

    @property
    def account(self) -> str:
        """The address of the present key."""
        return self.accounts[-1]


def follow(states: dict[int, MemberState], name: str, values: Any) -> MemberState:
    """Let one event change the state of its seat; events must come in the chain's order.

    Args:
        states: by seat; changed.
        name: of the event, one of :data:`MEMBERSHIP_EVENTS`.
        values: the event's fields by name, as a mapping or as a row of the index.

    Returns:
        The state of the seat that the event is about.

    Raises:
        LedgerError: nobody has joined at this seat.
    """
    seat = int(values["seat"])
    if name == "MemberJoined":
        key = bytes(values["envelopeKey"])
        joined = MemberState(seat, [values["member"]], int(values["samples"]), int(values["roles"]), key)
        states[seat] = joined
        return joined
    if seat not in states:
        raise LedgerError(f"the contract's events have {name} of seat {seat}, at which nobody has joined.")
    state = states[seat]
    if name == "KeyRotated":
        state.accounts.append(values["successor"])
        state.envelope_key = bytes(values["envelopeKey"])
    else:
        state.standing = _STANDING_AFTER[name]
    return state
