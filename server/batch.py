"""Submissions that have come and wait to be brought to the contract together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from fedcxr.ledger.signing import SignedSubmission

_MOST = 32  # whose gas together is far below a block's limit
_SHARE = 20  # so many times as long as it takes to bring a batch, the next one gathers
_SHORTEST, _LONGEST = 0.5, 10.0  # seconds from one to the next


class Batch:
    """Gathers submissions by number and by time, so that many hospitals need few transactions.

    What comes after more time than that is brought at once: no long training waits for the one after it.
    """

    def __init__(self, deadline: float) -> None:
        """For a round whose contract takes submissions until ``deadline``, of the epoch; 0 where for ever."""
        self._deadline = deadline
        self._gathered: list[SignedSubmission] = []
        self._patience = _SHORTEST
        self._brought = time.monotonic()

    def gather(self, submissions: Iterable[SignedSubmission]) -> None:
        """Add what one hospital has sent."""
        self._gathered += submissions

    @property
    def due(self) -> bool:
        """Whether what has gathered should be brought now."""
        if not self._gathered:
            return False
        late = 0 < self._deadline < time.time() + 2 * _LONGEST
        return late or len(self._gathered) >= _MOST or time.monotonic() - self._brought >= self._patience

    def bring(self, submit: Callable[[Sequence[SignedSubmission]], None]) -> None:
        """Bring what has gathered; nothing where nothing has."""
        if not self._gathered:
            return
        started = time.monotonic()
        gathered, self._gathered = self._gathered, []
        submit(gathered)
        self._brought = time.monotonic()
        self._patience = min(max(_SHARE * (self._brought - started), _SHORTEST), _LONGEST)
