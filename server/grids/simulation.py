"""A consortium on one machine: the same apps as in a deployment, over a grid of choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flwr.app import Context, RecordDict, UserConfig

from clients.app import app as client_app  # server and client meet in this file only
from fedcxr.config import Config
from fedcxr.run.logfile import log_to
from fedcxr.run.preparation import open_or_create, prepare_simulation, require_means
from fedcxr.store.run_directory import RunDirectory
from server.app import app as server_app
from server.console import Console
from server.grids.local import LocalGrid
from server.grids.ray import simulate_on_ray

Carry = Callable[[RunDirectory, int], None]  # runs the rounds over a grid: run, number of hospitals


def simulate(config: Config, out: Path, carry: Carry) -> RunDirectory:
    """Prepare a run and carry it to its end; an unfinished run at ``out`` is continued.

    Raises:
        FedcxrError: what ended it; the same call continues.
    """
    require_means(config)
    with Console() as console:
        run = open_or_create(out, config, console.progress)
        with log_to(run.log_path):
            partition = prepare_simulation(run, console.progress)
    carry(run, len(partition.names))
    return run


def on_local_grid(run: RunDirectory, hospitals: int) -> None:
    """Carry a run to its end in this process, one hospital at a time."""
    run_config: UserConfig = {"run": str(run.root), "hospitals": hospitals}
    nodes: list[UserConfig] = [{"partition-id": i, "num-partitions": hospitals} for i in range(hospitals)]
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=run_config)
    server_app(LocalGrid(client_app, nodes, run_config), context)


CARRIERS: dict[str, Carry] = {"local": on_local_grid, "ray": simulate_on_ray}
