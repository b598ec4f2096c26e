"""Shares of a seed: any t of them give it, and fewer say nothing of it (Shamir, CACM 1979)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

from fedcxr.errors import FederationError

PRIME = 2**256 + 297
"""The first prime above 2^256, so that each seed of 32 bytes is a number below it."""

LENGTH = 33
"""Bytes of a share."""

_SEED = 32


def split(seed: bytes, holders: Iterable[int], threshold: int) -> dict[int, bytes]:
    """A share for each holder.

    Args:
        seed: 32 bytes.
        holders: seats; the owner's is not among them.
        threshold: t, how many shares give the seed.

    Returns:
        33 bytes a seat: the value at seat + 1 of a polynomial with t − 1 random coefficients, forgotten here.
    """
    coefficients = [int.from_bytes(seed), *(secrets.randbelow(PRIME) for _ in range(threshold - 1))]
    return {seat: _value(coefficients, seat + 1).to_bytes(LENGTH) for seat in holders}


def join(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """The seed, from the shares of the t lowest seats, whatever else is there.

    Another choice is never tried: with a wrong share among the right ones it would be for whoever tries to
    say who lied.

    Args:
        shares: 33 bytes a seat.
        threshold: t.

    Raises:
        FederationError: fewer than t shares, one that is no number below the prime, or no seed under them.
    """
    if len(shares) < threshold:
        raise FederationError(f"{len(shares)} shares of a seed, where {threshold} give it.")
    points = [(seat + 1, int.from_bytes(shares[seat])) for seat in sorted(shares)[:threshold]]
    for x, y in points:
        if len(shares[x - 1]) != LENGTH or y >= PRIME:
            raise FederationError(f"the share of seat {x - 1} is none.")
    seed = 0
    for x, y in points:
        above, below = 1, 1
        for other, _ in points:
            if other != x:
                above = above * other % PRIME
                below = below * (other - x) % PRIME
        seed = (seed + y * above * pow(below, -1, PRIME)) % PRIME
    if seed >> 8 * _SEED:
        raise FederationError("the shares are of no seed.")
    return seed.to_bytes(_SEED)


def _value(coefficients: list[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % PRIME
    return value
