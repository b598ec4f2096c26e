"""Sets of seats as the contract has them: bit k of a 256-bit word is seat k."""

from __future__ import annotations

from collections.abc import Iterable


def to_bitmap(seats: Iterable[int]) -> int:
    """The word of a set of seats."""
    bitmap = 0
    for seat in seats:
        bitmap |= 1 << seat
    return bitmap


def from_bitmap(bitmap: int) -> list[int]:
    """The seats of a word, ascending."""
    return [seat for seat in range(bitmap.bit_length()) if bitmap >> seat & 1]
