"""Gas that the coordinator's calls are given: by what they carry, and for how many hospitals."""

from __future__ import annotations

from collections.abc import Iterable

from fedcxr.ledger.bounds import Bounds
from fedcxr.ledger.seats import WORD

_MOST = 30_000_000  # of a call: what a block of a public chain takes


def opening(participants: int, bounds: Bounds | None) -> int:
    """Of an opening, which settles a round of the first 256 before it: a slot for each of its hospitals."""
    return _bound(400_000 + _slots(participants) + _shares(participants, bounds))


def finalizing(reasons: Iterable[str], participants: int, bounds: Bounds | None) -> int:
    """Of a result with these reasons for what is left out of it."""
    said = sum(20_000 + text(reason) for reason in reasons)
    return _bound(300_000 + said + _shares(participants, bounds) + words(-(-participants // WORD)))


def settling(participants: int) -> int:
    """Of the credits of a word: a slot for each of its hospitals, and once the sum of all shares."""
    return _bound(200_000 + _slots(participants) + 20_000 * min(participants, WORD))


def words(count: int) -> int:
    """Of what sets of so many words take more than one: new slots, and what events say."""
    return 30_000 * (count - 1)


def text(said: str) -> int:
    """Of a text in call data and event: at most 40 a byte as data (EIP-7623), 8 in the log, 3 a copy."""
    return 60 * len(said.encode())


def _slots(participants: int) -> int:
    """For a slot of each participant of a word, and for what is read and said of each."""
    return 40_000 * min(participants, WORD) + 7_000 * max(participants - WORD, 0)


def _bound(gas: int) -> int:
    return min(gas, _MOST)


def _shares(participants: int, bounds: Bounds | None) -> int:
    """Of the rules that bind a hospital's share: a call for each, and at most a pass for each over all."""
    bound = bounds is not None and bounds.largest_share
    return participants * (12_000 + 200 * participants) if bound else 0
