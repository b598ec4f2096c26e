"""Who signed an export, by the members that the export's own chain has at its head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fedcxr.ledger.membership_events import MEMBERSHIP_EVENTS, MemberState, follow
from fedcxr.ledger.signing import AUDITOR


@dataclass(frozen=True)
class SignerStanding:
    """What the ledger says of a signer.

    When somebody signed nobody can prove; that it was after the export's head is certain, for the head is in
    what was signed. So the state at the head decides: whoever was suspended, had left, or had given the seat
    another key by then was no auditor when it signed.

    Attributes:
        auditor: whether it is the present key of an active auditor.
        former: why it is one no longer; empty where it never was one, or still is.
    """

    auditor: bool = False
    former: str = ""

    @classmethod
    def of(cls, signer: str, events: Iterable[Mapping[str, Any]]) -> SignerStanding:
        """From an export's decoded events, in the chain's order.

        Raises:
            LedgerError: an event is about a seat at which nobody has joined.
        """
        members: dict[int, MemberState] = {}
        changed: dict[int, int] = {}  # the block of each seat's last event
        for event in events:
            if event["event"] in MEMBERSHIP_EVENTS:
                state = follow(members, event["event"], {**event["values"], "envelopeKey": b""})
                changed[state.seat] = int(event["block"])
        for member in members.values():
            if not member.roles & AUDITOR or signer not in member.accounts:
                continue
            if member.standing != "active":
                said = "was suspended" if member.standing == "suspended" else "left"
                return cls(former=f"it {said}, by block {changed[member.seat]} at the latest")
            if signer != member.account:
                return cls(former=f"its seat has another key since, that of {member.account}")
            return cls(auditor=True)
        return cls()
