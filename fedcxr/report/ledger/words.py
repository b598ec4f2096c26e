"""How addresses, digests, times and other people's words look in a table."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedcxr.terminal import one_line

NOTHING = "–"


@dataclass(frozen=True)
class Names:
    """The names of members by address; a member without one is called by the ends of its address."""

    by_address: Mapping[str, str]

    def along(self, seats: Iterable[Sequence[str]]) -> Names:
        """Extend the names to all accounts of a seat: a hospital that rotates its key keeps its name.

        Args:
            seats: each one's accounts, the present one last.
        """
        by_address = dict(self.by_address)
        for accounts in seats:
            if named := [self.by_address[account] for account in accounts if account in self.by_address]:
                by_address |= dict.fromkeys(accounts, named[-1])
        return Names(by_address)

    def __call__(self, address: str) -> str:
        return one_line(self.by_address.get(address, "")) or f"{address[:6]}…{address[-4:]}"


def digest(value: bytes | None) -> str:
    """The first eight hex digits of a digest."""
    return NOTHING if not value else value.hex()[:8]


def when(seconds: int | None) -> str:
    """A time of the chain, in seconds since 1970, as UTC."""
    if seconds is None:
        return NOTHING
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return str(seconds)  # a deadline may be any number


def span(seconds: int) -> str:
    """A duration in the unit that leaves two or three digits: ``42 s``, ``3 min``, ``5 h``, ``2 d``."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 3 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def number(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def ether(wei: int) -> str:
    """An amount in ether, or in wei where it is less than a millionth of an ether."""
    whole = f"{wei / 10**18:.6f}".rstrip("0").rstrip(".")
    return f"{whole} ether" if wei >= 10**12 or not wei else f"{wei} wei"


def gain(score: int | None) -> str:
    """A score of 1/10,000 as a signed fraction."""
    return NOTHING if score is None else f"{score / 10_000:+.4f}"


def error(reason: Mapping[str, Any], names: Names) -> str:
    """A contract's error in one line: ``DeadlinePassed(deadline=1700000000)``."""
    arguments = ", ".join(f"{name}={argument(value, names)}" for name, value in reason["arguments"].items())
    return f"{reason['error']}({arguments})"


def argument(value: object, names: Names) -> str:
    """A value of an event or error, in brief."""
    if isinstance(value, bytes):
        value = value.hex()
    if not isinstance(value, str):
        return str(value)
    if value.startswith("0x") and len(value) == 42:
        return names(value)
    return f"{value[:8]}…" if len(value) >= 64 and value.isalnum() else one_line(value)
