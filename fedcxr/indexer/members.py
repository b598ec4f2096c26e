"""Who belongs to a federation, from its events: a seat is for ever, its account follows its key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from fedcxr.errors import LedgerError
from fedcxr.indexer.index_file import IndexFile
from fedcxr.ledger.membership_events import MEMBERSHIP_EVENTS, MemberState, Standing, follow

ROLES = ("hospital", "validator", "auditor")
"""Names of the contract's roles, by bit."""
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
class MemberRecord:
    """A member of the federation, by its seat.

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
    standing: Standing
    changes: list[Change]

    @classmethod
    def of(cls, state: MemberState, changes: list[Change]) -> MemberRecord:
        """A seat's state and how it came about."""
        roles = tuple(role for bit, role in enumerate(ROLES) if state.roles >> bit & 1)
        return cls(state.seat, state.accounts, roles, state.samples, state.standing, changes)

    @property
    def account(self) -> str:
        """The address of the present key."""
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

    seats: tuple[MemberRecord, ...]

    @classmethod
    def of(cls, index: IndexFile) -> Members:
        """The members as of the index's last block."""
        rows = sorted(
            (
                (row["block"], row["position"], name, row)
                for name in MEMBERSHIP_EVENTS
                for row in index.select(name)
            ),
            key=lambda item: item[:2],
        )
        states: dict[int, MemberState] = {}
        changes: dict[int, list[Change]] = defaultdict(list)
        for block, _, name, row in rows:
            state = follow(states, name, row)
            what = name.removeprefix("Member").removeprefix("Key").lower()
            account = state.account if name == "KeyRotated" else row["member"]
            changes[state.seat].append(Change(what, account, block, row["time"], row["tx"]))
        return cls(tuple(MemberRecord.of(states[seat], changes[seat]) for seat in sorted(states)))

    def __iter__(self) -> Iterator[MemberRecord]:
        return iter(self.seats)

    @cached_property
    def seat_of(self) -> Mapping[str, int]:
        """The seat of every account that is or was a member's."""
        return {account: member.seat for member in self.seats for account in member.accounts}

    def find(self, who: str, names: Mapping[str, str]) -> MemberRecord:
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
