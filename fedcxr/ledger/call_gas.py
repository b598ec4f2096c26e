"""Gas that the coordinator's calls are given: by what they carry, and for how many hospitals."""

from __future__ import annotations

from collections.abc import Iterable

from fedcxr.ledger.bounds import Bounds


def opening(participants: int, bounds: Bounds | None) -> int:
    """Of an opening, which settles the round before: a slot for each of its hospitals."""
    return 400_000 + 40_000 * participants + _shares(participants, bounds)


def finalizing(reasons: Iterable[str], participants: int, bounds: Bounds | None) -> int:
    """Of a result with these reasons for what is left out of it."""
    return 300_000 + sum(20_000 + text(reason) for reason in reasons) + _shares(participants, bounds)


def text(said: str) -> int:
    """Of a text in call data and event: at most 40 a byte as data (EIP-7623), 8 in the log, 3 a copy."""
    return 60 * len(said.encode())


def _shares(participants: int, bounds: Bounds | None) -> int:
    """Of the rules that bind a hospital's share: a call for each, and at most a pass for each over all."""
    bound = bounds is not None and bounds.largest_share
    return participants * (12_000 + 200 * participants) if bound else 0
