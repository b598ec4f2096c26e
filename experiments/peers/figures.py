"""What one run of one system in one cell came to: its figures, and whether they may be called figures."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.peers.timeline import RoundTimes


@dataclass(frozen=True)
class Agreement:
    """How far the model of a first round is from the average that was computed in float64.

    Attributes:
        largest: difference of any value.
        units: the largest difference of a tensor, in units of the last place of its largest float32; of
            fedcxr's in steps of its fixed point.
        moved: the farthest that the true average moved any value.
        agrees: whether every tensor is as near as rounding allows.
    """

    largest: float
    units: float
    moved: float
    agrees: bool


@dataclass(frozen=True)
class Outcome:
    """A kept file: one run.

    Attributes:
        cell, system: names.
        hospitals: in each round.
        at_once: that the system has at work at the same time.
        command: that makes this figure again.
        versions: of the system's packages and of torch.
        machine: processor, cores, memory.
        load: average of the minute before the run; where it is above a few tenths, others were at work.
        started: date and time, UTC.
        startup: seconds from the command to the first round begun.
        rounds: of each its seconds, and those of them in which at least one hospital trained.
        memory: bytes; the largest sum of PSS over all processes of the run.
        agreement: of the first round's model; None where there is none.
        failure: why there is no figure, in a line; empty where there is.
    """

    cell: str
    system: str
    hospitals: int
    at_once: int
    command: str
    versions: Mapping[str, str]
    machine: str
    load: float
    started: str
    startup: float | None
    rounds: Sequence[tuple[float, float]] = field(default_factory=list)
    memory: int = 0
    agreement: Agreement | None = None
    failure: str = ""

    @property
    def seconds(self) -> float:
        """Of a round: the median of those between the first and the last."""
        return statistics.median(seconds for seconds, _ in self.rounds[1:-1])

    @property
    def beyond(self) -> float:
        """Of a round, in which no hospital trained: the median likewise."""
        return statistics.median(seconds - training for seconds, training in self.rounds[1:-1])

    @property
    def first(self) -> float:
        """Seconds of the first round."""
        return self.rounds[0][0]

    def write(self, path: Path) -> None:
        """Keep it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Outcome:
        """Read :meth:`write` back."""
        tree = json.loads(path.read_text(encoding="utf-8"))
        agreement = tree.pop("agreement")
        rounds = [(float(seconds), float(training)) for seconds, training in tree.pop("rounds")]
        return cls(**tree, rounds=rounds, agreement=agreement and Agreement(**agreement))


def whole_rounds(times: Mapping[int, RoundTimes], rounds: int, hospitals: Sequence[str]) -> str:
    """What is missing for every hospital to have trained once in every round; empty where nothing is."""
    for number in range(1, rounds + 1):
        found = times.get(number, RoundTimes())
        if found.seconds is None:
            return f"round {number} of {rounds} did not end"
        if sorted(found.hospitals) != sorted(hospitals):
            trained = f"{len(set(found.hospitals))} of {len(hospitals)} hospitals"
            return f"round {number}: {len(found.hospitals)} trainings, of {trained}"
    return ""


def compare(
    model: NDArray[np.float32],
    average: NDArray[np.float64],
    first: NDArray[np.float32],
    *,
    starts: NDArray[np.int64],
    steps: NDArray[np.float64] | None,
    hospitals: int,
) -> Agreement:
    """Hold a first round's model against the average in float64, tensor by tensor.

    An average in float32 of n models may be off by half a unit of the last place for each addition, and by
    some for weighing and dividing: n/2 + 4 are allowed. fedcxr adds integers, without error, after each
    update was rounded to a step of a fixed point: half a step more is allowed there.

    Args:
        model: float32, as the system made it.
        average: float64, of what each hospital made of ``first``.
        first: that all started from.
        starts: where each tensor begins.
        steps: of fedcxr's fixed point, a tensor each; None for the others.
        hospitals: that were averaged.
    """
    difference = np.maximum.reduceat(np.abs(model - average), starts)
    largest = np.maximum.reduceat(np.maximum(np.abs(average), np.abs(first)), starts)
    last_place = np.spacing(largest.astype(np.float32)).astype(np.float64)
    allowed = (4 + hospitals / 2) * last_place + (0.0 if steps is None else steps / 2)
    return Agreement(
        largest=float(difference.max()),
        units=float((difference / (last_place if steps is None else steps)).max()),
        moved=float(np.abs(average - first).max()),
        agrees=bool(np.isfinite(difference).all() and (difference <= allowed).all()),
    )
