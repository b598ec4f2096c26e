"""What the contract computes and is needed outside it: integer weights, and what members vote on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eth_hash.auto import keccak

from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.bounds import WHOLE
from fedcxr.update.fixed_point import WEIGHT_SUM

CHANGES = ("suspend", "reinstate")
"""What members vote on besides a registration: names of the contract's enum ``Change``, in its order."""


def assign_weights(samples: Sequence[int], weighting: str, largest_share: int = 0) -> list[int]:
    """The contract's integer weights: at least 1 each, at most WEIGHT_SUM together.

    Args:
        samples: of each participant.
        weighting: of ``WEIGHTINGS`` of the deployment parameters.
        largest_share: of the weight that one participant may have, in 1/10,000; 0 where shares are free.

    Raises:
        ContractRejectedError: ``TooFewForShare``, where one of so few has more in any case.
    """
    count = len(samples)
    if largest_share:
        most = _threshold(samples, largest_share)
        samples = [min(s, most) for s in samples]
    if weighting == "uniform":
        return [WEIGHT_SUM // count] * count
    total = sum(samples)
    return [1 + s * (WEIGHT_SUM - count) // total for s in samples]


def _threshold(samples: Sequence[int], largest_share: int) -> int:
    """The most samples of a participant that count: ``RoundRules.sol`` has the argument.

    With t of them, min(s, t) is at most the largest share of the sum of all min(s, t).
    """
    if len(samples) * largest_share < WHOLE:
        raise ContractRejectedError("TooFewForShare", (len(samples), -(-WHOLE // largest_share)))
    above, before = 0, -1
    threshold = max(samples)
    while above != before:
        before = above
        rest = sum(s for s in samples if s <= threshold)
        threshold = rest * largest_share // (WHOLE - above * largest_share)
        above = sum(s > threshold for s in samples)
    return threshold


def beyond_share(weights: Mapping[str, int], largest_share: int) -> str:
    """Who of those that are included has so much of their weight that the contract refuses the result.

    Weights are whole numbers: what is less than a unit above the share is their rounding.

    Args:
        weights: of the included hospitals.
        largest_share: in 1/10,000; 0 where shares are free.

    Returns:
        The hospital; empty where there is none.
    """
    largest = max(weights, key=lambda address: weights[address], default="")
    if not largest_share or not largest:
        return ""
    beyond = weights[largest] * WHOLE >= sum(weights.values()) * largest_share + WHOLE
    return largest if beyond else ""


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
