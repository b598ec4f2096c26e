"""A consortium on one machine: the same apps as in a deployment, over a grid of choice."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flwr.app import UserConfig

from clients.app import app as client_app  # server and client meet in this file only
from fedcxr.config import Config
from fedcxr.run.logfile import log_to
from fedcxr.run.preparation import Progress, open_or_create, prepare_simulation, require_means
from fedcxr.store.run_directory import RunDirectory
from server.app import carry_out
from server.console import Console
from server.events import Observer
from server.grids.local import LocalGrid
from server.grids.ray import simulate_on_ray
from server.grids.workers import Workers

_CLIENT_APP = "clients.app:app"

Carry = Callable[[RunDirectory, int], None]  # runs the rounds over a grid: run, number of hospitals


def simulate(config: Config, out: Path, carry: Carry, progress: Progress | None = None) -> RunDirectory:
    """Prepare a run and carry it to its end; an unfinished run at ``out`` is continued.

    Args:
        config: what to run.
        out: the run directory.
        carry: carries the rounds over a grid.
        progress: told of the preparation; None draws bars on the console.

    Raises:
        FedcxrError: what ended it; the same call continues.
    """
    require_means(config)
    if progress is None:
        with Console() as console:
            run, hospitals = _prepare(config, out, console.progress)
    else:
        run, hospitals = _prepare(config, out, progress)
    carry(run, hospitals)
    return run


def _prepare(config: Config, out: Path, progress: Progress) -> tuple[RunDirectory, int]:
    """The run at ``out`` with everything that comes before its first round, and how many hospitals it has."""
    run = open_or_create(out, config, progress)
    with log_to(run.log_path):
        return run, len(prepare_simulation(run, progress).names)


def on_local_grid(
    run: RunDirectory, hospitals: int, observer: Observer | None = None, *, workers: int = 1
) -> None:
    """Carry a run to its end on this machine; the bits are the same whatever the number of workers.

    Args:
        run: the run.
        hospitals: how many it has.
        observer: told of each event; None shows them on the console.
        workers: hospitals at work at once, each in a process of its own; one works in this process.

    Raises:
        GridError: a worker cannot be started.
    """
    run_config: UserConfig = {"run": str(run.root), "hospitals": hospitals}
    nodes: list[UserConfig] = [{"partition-id": i, "num-partitions": hospitals} for i in range(hospitals)]
    with contextlib.ExitStack() as stack:
        count = min(workers, hospitals)
        app = client_app if count == 1 else stack.enter_context(Workers(count, _CLIENT_APP))
        grid = LocalGrid(app, nodes, run_config)
        if observer is not None:
            carry_out(grid, run, hospitals, observer, lambda what, done, total: None)
            return
        console = stack.enter_context(Console())
        carry_out(grid, run, hospitals, console, console.progress)


def crowded(threads: int, workers: int) -> str:
    """What to tell whoever starts more threads than there are cores; empty where there is room.

    Threads of one training wait for each other, so those that share a core are slower than one after the
    other.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers == 1 or workers * threads <= cores:
        return ""
    return (
        f"{workers} workers of {threads} threads each are more than the {cores} cores here: they get in each "
        f"other's way. {max(1, cores // threads)} would be faster."
    )


CARRIERS: dict[str, Callable[[int], Carry]] = {
    "local": lambda workers: partial(on_local_grid, workers=workers),
    "ray": lambda workers: simulate_on_ray,  # which has as many as there is room for
}
"""By the grid's name, what carries a run with this number of workers."""
