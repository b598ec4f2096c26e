"""The child process of a simulation on Ray; :mod:`server.grids.ray` starts it and says why it is there.

Three threads: the simulation, which heeds nobody; one that exits with the parent; and the main one, which
waits for how the simulation went, says so, and exits without waiting for Flower's engine.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import tomli_w
from flwr.app import Context, RecordDict, UserConfig
from flwr.serverapp import Grid, ServerApp

# Its public sister run_simulation is deprecated and knows no run configuration; `flwr run` uses this one.
from flwr.simulation.run_simulation import _run_simulation
from flwr.supercore.telemetry import EventType

from fedcxr.errors import FedcxrError, GridError
from fedcxr.run.logfile import FORMAT
from fedcxr.store.run_directory import RunDirectory
from server.grids.ray import RaySimulation

Outcomes = SimpleQueue[FedcxrError | None]


def main() -> None:
    """Run what the parent sends, and report how it went; the parent ends the session."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    pipe = Connection(int(sys.argv[1]))
    os.set_inheritable(pipe.fileno(), False)
    simulation: RaySimulation = pipe.recv()
    outcomes: Outcomes = SimpleQueue()
    threading.Thread(target=_watch, args=(pipe, simulation), daemon=True).start()
    threading.Thread(target=_carry, args=(simulation, outcomes), daemon=True).start()
    error = outcomes.get()
    sys.stdout.flush()
    pipe.send(error)
    # Threads of Flower's that never end would keep a usual exit waiting.
    os._exit(error.exit_code if error else 0)


def _watch(pipe: Connection, simulation: RaySimulation) -> None:
    """Exit when the parent is gone; what this process cannot end itself is ended by one that it starts."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()  # the parent says nothing more
    places = (RunDirectory(simulation.run).endpoint_path, simulation.scratch)
    subprocess.Popen(
        [sys.executable, "-m", "server.grids.ray_leftovers", str(os.getsid(0)), *map(str, places)]
    )
    os._exit(1)


def _carry(simulation: RaySimulation, outcomes: Outcomes) -> None:
    """Run Flower's engine. The first outcome counts: the engine lives on a while after the server's end."""
    _log_flower_to(RunDirectory(simulation.run).log_path)
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    run_config: UserConfig = {"run": str(simulation.run), "hospitals": simulation.hospitals}
    context = Context(run_id=0, node_id=0, node_config={}, state=RecordDict(), run_config=run_config)
    watched = ServerApp()

    @watched.main()
    def run_server(grid: Grid, context: Context) -> None:
        try:
            server_app(grid, context)
        except BaseException as error:
            outcomes.put(_explain(error, simulation))
        else:
            outcomes.put(None)

    try:
        # Both here: the engine would import one in each of two threads, which can deadlock.
        server_app = _load(simulation.server_app)
        _load(simulation.client_app)
        _run_simulation(
            num_supernodes=simulation.hospitals,
            exit_event=EventType.PYTHON_API_RUN_SIMULATION_LEAVE,
            server_app=watched,
            client_app_attr=simulation.client_app,
            server_app_context=context,
            backend_config=simulation.resources.backend_config(str(simulation.scratch)),
            app_dir=str(_write_app(simulation, run_config)),
            is_app=True,
        )
    except BaseException as error:
        outcomes.put(_explain(error, simulation))


def _load(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def _explain(error: BaseException, simulation: RaySimulation) -> FedcxrError:
    if isinstance(error, FedcxrError):
        return error
    logging.getLogger("flwr").error("the simulation stopped", exc_info=error)
    while error.__cause__ is not None:  # Flower wraps what went wrong in sentences that say that it did
        error = error.__cause__
    return GridError(
        f"the simulation stopped: {type(error).__name__}: {error}; "
        f"see {RunDirectory(simulation.run).log_path}, and Ray's logs in {simulation.scratch}."
    )


def _write_app(simulation: RaySimulation, run_config: UserConfig) -> Path:
    """A Flower app with nothing in it but its configuration: the way in which clients are given theirs."""
    directory = simulation.scratch / "app"
    directory.mkdir()
    components = {"serverapp": simulation.server_app, "clientapp": simulation.client_app}
    app = {"publisher": "fedcxr", "components": components, "config": run_config}
    tree = {"project": {"name": "fedcxr", "version": "0"}, "tool": {"flwr": {"app": app}}}
    (directory / "pyproject.toml").write_text(tomli_w.dumps(tree), encoding="utf-8")
    return directory


def _log_flower_to(path: Path) -> None:
    """Flower's own log beside ours: on the terminal it would run through the progress display."""
    logger = logging.getLogger("flwr")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter(FORMAT))
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
