"""Who belongs to a federation, from its events: a seat is for ever, its account follows its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from fedcxr.errors import LedgerError
from fedcxr.indexer.index_file import IndexFile

Standing = Literal["active", "suspended", "left"]
ROLES = ("hospital", "validator", "auditor")
"""Names of the contract's roles, by bit."""
_STANDING: Mapping[str, Standing] = {
    "MemberSuspended": "suspended",
    "MemberReinstated": "active",
    "MemberLeft": "left",
}
_SHORTEST = 6  # characters of an address that may stand for it, with 0x


@dataclass(frozen=True)
class Change:
    """What happened to a membership: ``joined``, ``rotated``, ``suspended``, ``reinstated`` or ``left``."""

    what: str
    account: str
    block: int
    time: int
    transaction: bytes


@dataclass
class Member:
    """A seat.

    Attributes:
        seat: 0 to 255.
        accounts: every key's address, the present one last.
        roles: names of :data:`ROLES`.
        samples: registered; 0 where it is no hospital.
        standing: present.
        changes: its history.
    """

    seat: int
    accounts: list[str]
    roles: tuple[str, ...]
    samples: int
    standing: Standing = "active"
    changes: list[Change] = field(default_factory=list)

    @property
    def account(self) -> str:
        return self.accounts[-1]

    @property
    def suspensions(self) -> int:
        """How often it was suspended or reinstated."""
        return sum(change.what in ("suspended", "reinstated") for change in self.changes)

    @property
    def joined(self) -> int:
        """Block."""
        return self.changes[0].block


@dataclass(frozen=True)
class Members:
    """All seats, in order."""

    seats: tuple[Member, ...]

    @classmethod
    def of(cls, index: IndexFile) -> Members:
        """The members as of the index's last block."""
        names = ("MemberJoined", "KeyRotated", *_STANDING)
        rows = sorted(
            ((row["block"], row["position"], name, row) for name in names for row in index.select(name)),
            key=lambda item: item[:2],
        )
        seats: dict[int, Member] = {}
        for block, _, name, row in rows:
            seat, account = int(row["seat"]), row["member"]
            if name == "MemberJoined":
                roles = tuple(role for bit, role in enumerate(ROLES) if row["roles"] >> bit & 1)
                seats[seat] = Member(seat, [account], roles, int(row["samples"]))
            elif name == "KeyRotated":
                account = row["successor"]
                seats[seat].accounts.append(account)
            else:
                seats[seat].standing = _STANDING[name]
            what = name.removeprefix("Member").removeprefix("Key").lower()
            seats[seat].changes.append(Change(what, account, block, row["time"], row["tx"]))
        return cls(tuple(seats[seat] for seat in sorted(seats)))

    def __iter__(self) -> Iterator[Member]:
        return iter(self.seats)

    @cached_property
    def seat_of(self) -> Mapping[str, int]:
        """The seat of every account that is or was a member's."""
        return {account: member.seat for member in self.seats for account in member.accounts}

    def find(self, who: str, names: Mapping[str, str]) -> Member:
        """A member by an address it has or had, by the beginning of one, or by its name.

        Args:
            who: asked for.
            names: by address.

        Raises:
            LedgerError: nobody, or more than one.
        """
        named = {self.seat_of[a] for a, name in names.items() if name == who and a in self.seat_of}
        begun = who.lower()
        if not named and begun.startswith("0x") and len(begun) >= _SHORTEST:
            named = {seat for account, seat in self.seat_of.items() if account.lower().startswith(begun)}
        if len(named) == 1:
            return next(member for member in self.seats if member.seat in named)
        known = [f"{names[a]} ({a})" if a in names else a for a in (member.account for member in self.seats)]
        shown = ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
        why = "is the beginning of several members' addresses" if named else "is no member's address or name"
        raise LedgerError(f"{who!r} {why}; members: {shown or 'none'}.")
