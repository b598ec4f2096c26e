"""fedcxr, by the parts that ``fedcxr simulate`` is made of: preparation, coordinator, grid; no evaluation."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
from flwr.app import Context, UserConfig
from flwr.serverapp import Grid, ServerApp

from experiments.peers.cells import SYSTEMS
from experiments.peers.fedcxr_hospital import app as hospital
from experiments.peers.timeline import Timeline
from experiments.peers.work import Work
from fedcxr.run.preparation import open_or_create, prepare_simulation
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import model_file
from server.app import coordinate
from server.events import Event, FederationStarted, RoundFinalized
from server.grids.local import LocalGrid
from server.grids.ray import simulate_on_ray
from server.grids.workers import Workers

_HERE = "experiments.peers.fedcxr_system"
_HOSPITAL = "experiments.peers.fedcxr_hospital:app"
server_app = ServerApp()


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """The coordinator on Ray."""
    run_directory = RunDirectory.open(Path(str(context.run_config["run"])), trusted=True)
    hospitals = int(context.run_config["hospitals"])
    coordinate(grid, run_directory, hospitals, _Watch(run_directory), evaluate=None)


def run(system: str, folder: Path, out: Path) -> None:
    """Carry the work out."""
    work, chosen = Work(folder), SYSTEMS[system]
    run_directory = open_or_create(out / "run", work.config(chosen.changes))
    hospitals = len(prepare_simulation(run_directory, lambda what, done, total: None).names)
    if "ray" in chosen.packages:
        simulate_on_ray(run_directory, hospitals, server_app=f"{_HERE}:server_app", client_app=_HOSPITAL)
    else:
        _on_local_grid(run_directory, hospitals, chosen.clients_at_once(hospitals))
    for place, number in (("1", 1), ("last", work.rounds)):
        path = run_directory.model(number)
        np.save(out / f"model-{place}.npy", model_file.read(path, run_directory.read_layout()))


def _on_local_grid(run_directory: RunDirectory, hospitals: int, workers: int) -> None:
    run_config: UserConfig = {"run": str(run_directory.root), "hospitals": hospitals}
    nodes: list[UserConfig] = [{"partition-id": i, "num-partitions": hospitals} for i in range(hospitals)]
    with contextlib.ExitStack() as stack:
        app = hospital if workers == 1 else stack.enter_context(Workers(workers, _HOSPITAL))
        grid = LocalGrid(app, nodes, run_config)
        coordinate(grid, run_directory, hospitals, _Watch(run_directory), evaluate=None)


class _Watch:
    """Says when rounds begin and end."""

    def __init__(self, run_directory: RunDirectory) -> None:
        self._rounds = run_directory.config.federation.rounds

    def __call__(self, event: Event) -> None:
        timeline = Timeline.of_this_process()
        if isinstance(event, FederationStarted):
            timeline.began(1)
        elif isinstance(event, RoundFinalized):
            timeline.ended(event.round)
            if event.round < self._rounds:
                timeline.began(event.round + 1)
