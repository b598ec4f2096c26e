"""The child process of a simulation on Ray; :mod:`server.ray_grid` starts it and says why it is there.

Its main thread waits for the first of three things: the simulation's end, a signal, the parent's end. The
simulation runs in a thread beside it, for Flower's engine heeds neither signals nor the parent.
"""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import signal
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
from rich.console import Console as RichConsole

from fedcxr.errors import FedcxrError, GridError
from fedcxr.store.run_directory import RunDirectory
from server import session
from server.logfile import FORMAT
from server.ray_grid import RaySimulation


class EndedFromOutsideError(Exception):
    """A signal came, or the parent is gone."""


Outcomes = SimpleQueue[FedcxrError | EndedFromOutsideError | None]


def main() -> None:
    """Run what the parent sends, report how it went, and leave nothing behind."""
    pipe = Connection(int(sys.argv[1]))
    os.set_inheritable(pipe.fileno(), False)
    outcomes: Outcomes = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: outcomes.put(EndedFromOutsideError()))
    simulation: RaySimulation = pipe.recv()
    threading.Thread(target=_watch, args=(pipe, outcomes), daemon=True).start()
    threading.Thread(target=_carry, args=(simulation, outcomes), daemon=True).start()
    outcome = outcomes.get()
    sys.stdout.flush()
    # Ray in this process complains on stderr of the end of its daemons. All that they hold is scratch, so
    # they are not asked to leave, which would take them seconds.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    if isinstance(outcome, EndedFromOutsideError):
        _clear_up(simulation)
        session.end(os.getsid(0))  # Ray may end this process here, when it misses its daemons
        os._exit(128 + signal.SIGTERM)  # as a shell would say it
    pipe.send(outcome)
    # Threads of Flower's that never end would keep a usual exit waiting; the parent ends the session.
    os._exit(outcome.exit_code if outcome else 0)


def _watch(pipe: Connection, outcomes: Outcomes) -> None:
    try:
        pipe.recv()  # the parent says nothing more; it can only hang up
    except (EOFError, OSError):
        outcomes.put(EndedFromOutsideError())


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


def _clear_up(simulation: RaySimulation) -> None:
    """What the server and the parent would have put back, had they come to their ends."""
    RichConsole().show_cursor()
    RunDirectory(simulation.run).endpoint_path.unlink(missing_ok=True)
    shutil.rmtree(simulation.scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
