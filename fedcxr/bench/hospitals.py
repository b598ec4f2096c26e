"""What a round, its audit and its record cost as hospitals become more, and whether that is a line.

Nobody trains here: the updates are noise, so that what is left is the protocol. Each number of hospitals is
measured in a process of its own, whose memory is then its own.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from fedcxr.bench.alternatives import peak_memory
from fedcxr.bench.audit import audit_with_key
from fedcxr.bench.round import run_protocol
from fedcxr.indexer.location import ask
from fedcxr.indexer.overview import read_overview
from fedcxr.privacy.secagg.parameters import COMPLETE
from fedcxr.round_lines import read_rounds
from fedcxr.store.run_directory import RunDirectory
from fedcxr.store.run_location import location_of_run

Say = Callable[[str], None]
Found = TypeVar("Found")
_ROUNDS = 3  # the first is not counted
_WAYS: dict[str, dict[str, object]] = {
    "each": {},
    "root": {"ledger.recording": "root"},
    "off": {"ledger.backend": "off"},
    "committee": {"validation.policy": "committee"},
    "masked": {
        "privacy.envelope": "masked",
        "privacy.auditor": False,
        "federation.min_hospitals": 3,
    },
}
"""What a federation's configuration differs in, by the name of the figure."""


@dataclass(frozen=True)
class HospitalsCost:
    """Seconds with so many hospitals.

    Attributes:
        hospitals: in each round.
        each: a round whose contract keeps every submission; the median after the first.
        root: the same where one root a round is kept.
        off: the same without a ledger.
        committee: as ``each``, and four validators judge every update.
        masked: as ``each``, with updates that nobody reads; NaN where there are more than such a round has.
        audit: of the run of ``each``, with a key, all three rounds.
        ledger: a first look at its chain, from which the index is built.
        resume: of the same run, which is finished: its hospitals are asked who they are.
        peak_memory: bytes of the process that did all of it but the committee and the masks.
    """

    hospitals: int
    each: float
    root: float
    off: float
    committee: float
    masked: float
    audit: float
    ledger: float
    resume: float
    peak_memory: float


@dataclass(frozen=True)
class Line:
    """A line through seconds over hospitals: its slope, its begin, and its share of their variance."""

    seconds_a_hospital: float
    seconds: float
    r_squared: float

    @classmethod
    def through(cls, hospitals: Sequence[int], seconds: Sequence[float]) -> Line:
        """By least squares."""
        slope, begin = np.polyfit(hospitals, seconds, 1)
        residual = np.asarray(seconds) - np.polyval([slope, begin], hospitals)
        return cls(float(slope), float(begin), float(1 - np.var(residual) / np.var(seconds)))


@dataclass(frozen=True)
class HospitalsBench:
    """The figures of ``fedcxr bench hospitals``.

    Attributes:
        model: whose updates travelled.
        parameters: of it.
        costs: one for each number of hospitals.
        lines: by the name of the figure; none of fewer than three numbers of hospitals.
    """

    model: str
    parameters: int
    costs: tuple[HospitalsCost, ...]
    lines: dict[str, Line]


def bench_hospitals(say: Say, hospitals: Sequence[int], model: str = "compact") -> HospitalsBench:
    """Measure each number of hospitals; with 256 of them a few minutes.

    Args:
        say: told of each part as it begins.
        hospitals: numbers of hospitals, each at least 4.
        model: whose updates travel.
    """
    costs, parameters = [], 0
    for count in hospitals:
        say(f"{count} hospitals")
        figures, parameters = _apart(_figures, count, model)
        figures["committee"] = _apart(_round, count, model, "committee")
        figures["masked"] = _apart(_round, count, model, "masked") if count <= COMPLETE else math.nan
        costs.append(HospitalsCost(hospitals=count, **figures))
    lines = {}
    if len(costs) > 2:
        for name in ("each", "root", "off", "committee", "audit", "ledger", "resume"):
            lines[name] = Line.through(hospitals, [getattr(cost, name) for cost in costs])
    return HospitalsBench(model, parameters, tuple(costs), lines)


def as_json(bench: HospitalsBench) -> str:
    """The figures for machines."""
    tree = asdict(bench)
    for cost in tree["costs"]:
        cost |= {
            name: None for name, figure in cost.items() if isinstance(figure, float) and math.isnan(figure)
        }
    return json.dumps(tree, indent=2)


def _apart(work: Callable[..., Found], *what: object) -> Found:
    """Do one measurement in a process of its own, which may have others, as an audit has."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *what).result()


def _figures(count: int, model: str) -> tuple[dict[str, float], int]:
    figures = {}
    with tempfile.TemporaryDirectory(prefix="fedcxr-bench-") as directory:
        for name in ("off", "root", "each"):
            run = _run(Path(directory) / name, model, count, name)
            figures[name] = _round_seconds(run)
        figures["resume"] = _timed(lambda: _run(Path(directory) / "each", model, count, "each"))
        figures["audit"] = _timed(lambda: audit_with_key(run))
        place = location_of_run(run, run.read_facts().contract)
        figures["ledger"] = _timed(lambda: ask(place, lambda ledger: read_overview(ledger.index)))
        figures["peak_memory"] = float(peak_memory())
        return figures, run.read_layout().size


def _round(count: int, model: str, way: str) -> float:
    with tempfile.TemporaryDirectory(prefix="fedcxr-bench-") as directory:
        return _round_seconds(_run(Path(directory), model, count, way))


def _run(place: Path, model: str, count: int, way: str) -> RunDirectory:
    return run_protocol(place, model, count, _ROUNDS, lambda event: None, changes=_WAYS[way])


def _round_seconds(run: RunDirectory) -> float:
    return statistics.median(line.seconds or 0.0 for line in read_rounds(run)[1:])


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
