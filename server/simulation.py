"""A consortium on one machine: the same apps as in a deployment, over a grid in this process."""

from __future__ import annotations

from pathlib import Path

from flwr.app import Context, RecordDict, UserConfig

from fedcxr.config import Config
from fedcxr.store.run_directory import RunDirectory
from server.app import app as server_app
from server.local_grid import LocalGrid
from server.preparation import open_or_create, prepare_simulation


def simulate_locally(config: Config, out: Path) -> RunDirectory:
    """Run a federation in this process, one hospital at a time; an unfinished run is continued.

    Raises:
        FedcxrError: what ended it; the same call continues.
    """
    from clients.app import app as client_app  # the apps meet here only

    run = open_or_create(out, config)
    hospitals = len(prepare_simulation(run).names)
    run_config: UserConfig = {"run": str(out)}
    nodes: list[UserConfig] = [{"partition-id": i, "num-partitions": hospitals} for i in range(hospitals)]
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=run_config)
    server_app(LocalGrid(client_app, nodes, run_config), context)
    return run
