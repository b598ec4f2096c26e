"""What the contract computes and is needed outside it: integer weights, and what members vote on."""

from __future__ import annotations

from collections.abc import Sequence

from eth_hash.auto import keccak

from fedcxr.update.fixed_point import WEIGHT_SUM

CHANGES = ("suspend", "reinstate")
"""What members vote on besides a registration: names of the contract's enum ``Change``, in its order."""


def assign_weights(samples: Sequence[int], weighting: str) -> list[int]:
    """The contract's integer weights: at least 1 each, at most WEIGHT_SUM together."""
    count = len(samples)
    if weighting == "uniform":
        return [WEIGHT_SUM // count] * count
    return [1 + s * (WEIGHT_SUM - count) // sum(samples) for s in samples]


def action_of(federation: bytes, change: str, seat: int, changes: int) -> bytes:
    """What members approve to change another's standing.

    Args:
        federation: 32 bytes.
        change: of :data:`CHANGES`.
        seat: of the other.
        changes: how often it has been suspended or reinstated: a vote counts for the next time alone.
    """
    numbers = (CHANGES.index(change), seat, changes)
    return bytes(keccak(federation + b"".join(number.to_bytes(32) for number in numbers)))
