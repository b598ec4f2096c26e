"""Sets of seats: bit k of a number is seat k. The contract has them in words of 256 bits.

A set is one number here, whatever its size. Of a round whose seats are among the first 256, calls and events
have one word; of any other as many as its highest seat takes. So a call is chosen by the set, and no reader
sees which it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST = 4096
"""Seats of a federation: as many as a round's weights sum to at most, each of which is one or more."""

WORD = 256
"""Seats of a word."""

NAMES = ("seats", "accepted", "counted", "included")
"""Fields of the contract's events that are sets of seats, where they are numbers or lists of words."""


def to_bitmap(seats: Iterable[int]) -> int:
    """The number of a set of seats."""
    bitmap = 0
    for seat in seats:
        bitmap |= 1 << seat
    return bitmap


def from_bitmap(bitmap: int) -> list[int]:
    """The seats of a set, ascending."""
    return [seat for seat, bit in enumerate(reversed(f"{bitmap:b}")) if bit == "1"]


def words_of(bitmap: int) -> int:
    """Words that a set takes: one for the empty one."""
    return max(1, -(-bitmap.bit_length() // WORD))


def to_words(bitmap: int, words: int) -> list[int]:
    """A set as so many words, as the contract's calls have it."""
    return [bitmap >> WORD * w & (1 << WORD) - 1 for w in range(words)]


def from_words(words: Sequence[int]) -> int:
    """The set of a list of words."""
    return int.from_bytes(b"".join(word.to_bytes(WORD // 8, "little") for word in words), "little")


def with_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """An event's values, with a number for each set of seats that came as a list of words."""
    return {
        key: from_words(value) if key in NAMES and isinstance(value, list | tuple) else value
        for key, value in values.items()
    }


def credits_call(word: int, seats: int) -> tuple[Any, ...]:
    """The contract's view of the credits of a word's seats, with arguments; every contract has the first."""
    return ("creditsOfWord", word, seats) if word else ("creditsOfSeats", seats)
