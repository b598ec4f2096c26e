"""The driver: one run of every system in every cell, each watched, ended, checked and kept."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from experiments.peers import process_tree
from experiments.peers.cells import CELLS, SYSTEMS, Cell, plan
from experiments.peers.figures import Agreement, Outcome, compare, whole_rounds
from experiments.peers.page import write_page
from experiments.peers.timeline import VARIABLE, Progress, Timeline
from fedcxr.terminal import say
from server.grids.flower_environment import flower_environment

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results")
PAGE = ROOT / "experiments" / "peers.md"
_OFTEN, _SELDOM = 0.2, 5.0  # seconds between two looks at the memory
_CORES = 2  # that every system is given, whatever the machine has
_GB = 10**9


@dataclass(frozen=True)
class Limits:
    """What ends a run that would not end: it is a row that says so."""

    seconds: float
    memory: float  # bytes of PSS


@dataclass(frozen=True)
class Ended:
    """How a process tree came to its end."""

    code: int
    began: float  # on the monotonic clock
    memory: int
    cut: str  # what ended it from outside; empty: nothing did


def main(description: str) -> None:
    """Parse the command line, whose help begins with ``description``, and do what it says."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that what runs is ended
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=as_it_is)
    default = ",".join(cell.name for cell in CELLS)
    parser.add_argument("--cells", default=default, help="as in xception-8,compact-50 (default: all)")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--rounds", type=int, default=5, help="the first and the last are apart (default: 5)")
    parser.add_argument("--limit", type=float, default=1_800, help="seconds of one run (default: 1,800)")
    parser.add_argument("--memory", type=float, help="GB of one run (default: 80%% of what is free)")
    parser.add_argument("--scratch", type=Path, help="keeps the prepared work for the next time")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where outcomes are kept")
    parser.add_argument("--missing", action="store_true", help="only what is not kept yet")
    parser.add_argument("--page", action="store_true", help="write experiments/peers.md, and run nothing")
    asked = parser.parse_args()
    if not asked.page:
        try:
            cells = [Cell.named(name) for name in asked.cells.split(",")]
        except ValueError as error:
            parser.error(str(error))
        systems = asked.systems.split(",")
        if unknown := [name for name in systems if name not in SYSTEMS]:
            parser.error(f"no such system: {', '.join(unknown)}; there are {', '.join(SYSTEMS)}")
        if asked.rounds < 3:
            parser.error("--rounds: at least 3, for the first and the last are apart")
        memory = asked.memory * _GB if asked.memory else 0.8 * _available_memory()
        limits = Limits(asked.limit, memory)
        with tempfile.TemporaryDirectory(prefix="peers-") as temporary:
            scratch = (asked.scratch or Path(temporary)).absolute()
            runs = plan(cells, systems)
            if asked.missing:
                runs = [run for run in runs if not _kept(asked.results, *run).exists()]
            run_all(runs, asked.rounds, scratch, asked.results, limits)
    if asked.results == RESULTS:
        write_page(RESULTS, PAGE)
        say(f"written: {PAGE.relative_to(ROOT)}")


def run_all(
    runs: list[tuple[Cell, str]], rounds: int, scratch: Path, results: Path, limits: Limits
) -> list[Outcome]:
    """Carry out a plan, one run after the other, and keep what each came to."""
    process_tree.adopt_orphans()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_CORES])  # what is started inherits it
    outcomes = []
    for cell, system in runs:
        work = scratch / f"{cell.name}-{rounds}" / "work"
        if not (work / "average.npy").exists():
            say(f"{cell.name}: preparing the work")
            _prepare(work, cell, rounds)
        outcome = run_one(cell, system, rounds, work, limits)
        outcome.write(_kept(results, cell, system))
        say(_told(outcome))
        outcomes.append(outcome)
    return outcomes


def run_one(cell: Cell, system: str, rounds: int, work: Path, limits: Limits) -> Outcome:
    """One system's run of a cell; whatever goes wrong in it is in the outcome."""
    out = work.parent / system
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    load, started = os.getloadavg()[0], datetime.now(UTC).isoformat(timespec="seconds")
    ended = _watch([system, str(work), str(out)], out, limits, rounds)
    times = Timeline(out / "timeline.jsonl").read()
    failure, agreement = _failure(ended, out), None
    if not failure:
        names = [f"hospital-{number + 1:04d}" for number in range(cell.hospitals)]
        failure = whole_rounds(times, rounds, names)
    if not failure:
        agreement = _agreement(work, out, cell, is_fedcxr=SYSTEMS[system].module == "fedcxr_system")
        if not agreement.agrees:
            failure = f"its average is another one: it differs by {agreement.largest:.3g}"
        elif np.array_equal(np.load(out / "model-last.npy"), np.load(work / "first.npy")):
            failure = "its last model is the first one"
    first = times[1].began if 1 in times else None
    done = [times[number] for number in sorted(times)]
    outcome = Outcome(
        cell=cell.name,
        system=system,
        hospitals=cell.hospitals,
        at_once=SYSTEMS[system].clients_at_once(cell.hospitals),
        command=f"python experiments/peers/run.py --cells {cell.name} --systems {system} --rounds {rounds}",
        versions=_versions(out),
        machine=_machine(),
        load=round(load, 2),
        started=started,
        startup=None if first is None else first - ended.began,
        rounds=[(each.seconds, each.training) for each in done if each.seconds is not None],
        memory=ended.memory,
        agreement=agreement,
        failure=failure,
    )
    shutil.copy(out / "log.txt", work.parent / f"{system}.log")
    shutil.rmtree(out)  # fedcxr's has every update of every round
    return outcome


def _kept(results: Path, cell: Cell, system: str) -> Path:
    return results / cell.name / f"{system}.json"


def _prepare(work: Path, cell: Cell, rounds: int) -> None:
    """Raises SystemExit with the log where the work cannot be made."""
    work.mkdir(parents=True, exist_ok=True)
    ended = _watch(["prepare", str(work), cell.name, str(rounds)], work, Limits(86_400, float("inf")), 1)
    if ended.code:
        sys.exit((work / "log.txt").read_text(encoding="utf-8", errors="replace"))


def _watch(arguments: list[str], out: Path, limits: Limits, rounds: int) -> Ended:
    """Run :mod:`experiments.peers.start` and weigh its processes until it ends; leave none of them.

    A look takes a tenth of a second of processor time for a dozen processes. So it is taken often until the
    first round has ended and from where the last one begins, and seldom in the rounds that are timed.
    """
    environment = flower_environment(out / "flwr") | {
        VARIABLE: str(out / "timeline.jsonl"),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "NVFLARE_POC_WORKSPACE": str(out),
    }
    progress, memory, cut, looked = Progress(Timeline(out / "timeline.jsonl")), 0, "", float("-inf")
    with (out / "log.txt").open("wb") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "experiments.peers.start", *arguments],
            cwd=out,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # some of them signal their whole group
        )
        try:
            while process.poll() is None and not cut:
                now = time.monotonic()
                if now >= looked + (_SELDOM if progress.is_timed(rounds) else _OFTEN):
                    looked = now
                    processes = process_tree.descendants(os.getpid())
                    memory = max(memory, process_tree.proportional_memory(processes))
                if now - began > limits.seconds:
                    cut = f"not done after {limits.seconds:,.0f} s"
                elif memory > limits.memory:
                    cut = f"needs more than {limits.memory / _GB:.0f} GB"
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, now + _OFTEN - time.monotonic()))
        finally:
            process_tree.end(os.getpid())
            process.wait()
    return Ended(process.returncode, began, memory, cut)


def _failure(ended: Ended, out: Path) -> str:
    if ended.cut:
        return ended.cut
    told = out / "failure.txt"
    if told.exists():
        return told.read_text(encoding="utf-8")[:300]
    if ended.code == 0:
        return ""
    lines = (out / "log.txt").read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return f"ended with {ended.code}: {last}"[:300]


def _agreement(work: Path, out: Path, cell: Cell, *, is_fedcxr: bool) -> Agreement:
    with np.load(work / "tensors.npz") as tensors:
        return compare(
            np.load(out / "model-1.npy"),
            np.load(work / "average.npy"),
            np.load(work / "first.npy"),
            starts=tensors["starts"],
            steps=tensors["steps"] if is_fedcxr else None,
            hospitals=cell.hospitals,
        )


def _versions(out: Path) -> dict[str, str]:
    path = out / "versions.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return dict(line.split() for line in lines)


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GB
    processor, cores = next(named, platform.machine()), len(os.sched_getaffinity(0))
    return f"{processor}, {cores} cores, {total:.0f} GB, Python {platform.python_version()}"


def _available_memory() -> float:
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def _told(outcome: Outcome) -> str:
    where = f"{outcome.cell} {outcome.system}"
    if outcome.failure:
        return f"{where}: no figure: {outcome.failure}"
    assert outcome.agreement is not None and outcome.startup is not None
    agreement = outcome.agreement
    return (
        f"{where}: {outcome.seconds:.3f} s a round, {outcome.beyond:.3f} of them beyond training; "
        f"first round {outcome.first:.2f} s, begun after {outcome.startup:.2f} s; "
        f"{outcome.memory / _GB:.2f} GB; differs by {agreement.largest:.2g} ({agreement.units:.2g} units) "
        f"from the true average, which moved by {agreement.moved:.2g}"
    )
