"""Where the wall time of a round goes: each moment belongs to one part, and the parts sum to the whole."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

OTHER = "other"
"""The part of each moment that belongs to no named one."""


class RoundTime:
    """A clock that one thread hands from part to part.

    A part that begins inside another one stops that one's clock until it ends, so no moment counts twice.
    """

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._part = OTHER
        self._since = time.perf_counter()

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Let what is done inside belong to ``part``."""
        before = self._hand_to(part)
        try:
            yield
        finally:
            self._hand_to(before)

    @property
    def parts(self) -> Mapping[str, float]:
        """Seconds by part, up to now."""
        self._hand_to(self._part)
        return dict(self._seconds)

    @property
    def total(self) -> float:
        """Seconds since the clock was made."""
        return sum(self.parts.values())

    def _hand_to(self, part: str) -> str:
        now = time.perf_counter()
        self._seconds[self._part] += now - self._since
        before, self._part, self._since = self._part, part, now
        return before
