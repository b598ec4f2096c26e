"""What a run says of its own time, from whichever of its processes: one line an event, in one file.

The clock is the machine's monotonic one, which all processes share. The driver tells the processes where the
file is by their environment, because some systems start processes that nothing else could be said to.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

VARIABLE = "FEDCXR_PEERS_TIMELINE"


@dataclass(frozen=True)
class Timeline:
    """The file of a run; whoever is in that run writes to it."""

    path: Path

    @classmethod
    def of_this_process(cls) -> Timeline:
        """The one that the driver asked for."""
        return cls(Path(os.environ[VARIABLE]))

    def began(self, round_number: int) -> None:
        """A round begins, from 1: what comes now is part of it."""
        self._add(["began", round_number, time.monotonic()])

    def ended(self, round_number: int) -> None:
        """A round ended: its average is there."""
        self._add(["ended", round_number, time.monotonic()])

    def trained(self, round_number: int, hospital: str, seconds: float) -> None:
        """A hospital has just finished a training of so many seconds."""
        self._add(["trained", round_number, time.monotonic(), seconds, hospital])

    def _add(self, event: list[object]) -> None:
        line = json.dumps(event).encode() + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line)  # a short line in one call: no two processes mix theirs
        finally:
            os.close(descriptor)

    def read(self) -> dict[int, RoundTimes]:
        """What was written, by round."""
        rounds: dict[int, RoundTimes] = {}
        if not self.path.exists():
            return rounds
        for line in self.path.read_text(encoding="utf-8").splitlines():
            what, number, at, *more = json.loads(line)
            times = rounds.setdefault(number, RoundTimes())
            if what == "trained":
                seconds, hospital = more
                times.trainings.append((at - seconds, at))
                times.hospitals.append(hospital)
            else:
                setattr(times, what, at)
        return rounds


@dataclass
class Progress:
    """How far a run has come, by its timeline as it grows."""

    timeline: Timeline
    begun: int = 0  # the last round that began
    first_ended: bool = False
    _read: int = 0  # bytes

    def is_timed(self, rounds: int) -> bool:
        """Whether a round is under way that is neither the first nor the last."""
        with contextlib.suppress(FileNotFoundError), self.timeline.path.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
            self._read += len(whole) + len(newline)
            for what, number, *_ in map(json.loads, whole.splitlines()):
                self.first_ended |= what == "ended"
                self.begun = number if what == "began" else self.begun
        return self.first_ended and self.begun < rounds


@dataclass
class RoundTimes:
    """When a round began and ended, and when which hospital trained in it, on the monotonic clock."""

    began: float | None = None
    ended: float | None = None
    trainings: list[tuple[float, float]] = field(default_factory=list)
    hospitals: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float | None:
        """Wall time; None where the round did not end."""
        return None if self.began is None or self.ended is None else self.ended - self.began

    @property
    def training(self) -> float:
        """Seconds of it in which at least one hospital trained."""
        return covered(self.trainings)


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """The length of the union of intervals: where two overlap, the time counts once."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total
