"""The child process of a simulation on Ray; :mod:`server.ray_grid` starts it and says why it is there.

Its main thread waits for the first of three things: the simulation's end, a signal, the parent's end. The
simulation runs in a thread beside it, for Flower's engine heeds neither signals nor the parent.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

import tomli_w
from flwr.app import Context, RecordDict, UserConfig

# Its public sister run_simulation is deprecated and knows no run configuration; `flwr run` uses this one.
from flwr.simulation.run_simulation import _run_simulation
from flwr.supercore.telemetry import EventType
from rich.console import Console as RichConsole

from fedcxr.errors import FedcxrError, GridError
from fedcxr.store.run_directory import RunDirectory
from server import session
from server.logfile import FORMAT
from server.ray_grid import RaySimulation

_ENDED = 128 + signal.SIGTERM  # as a shell would say it


class EndedFromOutsideError(Exception):
    """A signal came, or the parent is gone."""


def main() -> None:
    """Run what the parent sends, report how it went, and leave nothing behind."""
    pipe = Connection(int(sys.argv[1]))
    os.set_inheritable(pipe.fileno(), False)
    outcome: SimpleQueue[FedcxrError | EndedFromOutsideError | None] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: outcome.put(EndedFromOutsideError()))
    simulation: RaySimulation = pipe.recv()
    threading.Thread(target=_watch, args=(pipe, outcome), daemon=True).start()
    threading.Thread(target=_carry, args=(simulation, outcome), daemon=True).start()
    ended = outcome.get()
    if isinstance(ended, EndedFromOutsideError):
        _clear_up(simulation)
        status = _ENDED
    else:
        status = ended.exit_code if ended else 0
        pipe.send(ended)
    session.end(os.getsid(0))
    sys.stdout.flush()
    os._exit(status)  # threads of Flower's that never end would keep a usual exit waiting


def _watch(pipe: Connection, outcome: SimpleQueue[FedcxrError | EndedFromOutsideError | None]) -> None:
    try:
        pipe.recv()  # the parent says nothing more; it can only hang up
    except (EOFError, OSError):
        outcome.put(EndedFromOutsideError())


def _carry(
    simulation: RaySimulation, outcome: SimpleQueue[FedcxrError | EndedFromOutsideError | None]
) -> None:
    try:
        _simulate(simulation)
    except FedcxrError as error:
        outcome.put(error)
    except BaseException as error:
        logging.getLogger("flwr").exception("the simulation stopped")
        cause = error.__cause__ or error
        outcome.put(
            GridError(
                f"the simulation stopped: {type(cause).__name__}: {cause}; "
                f"see {RunDirectory(simulation.run).log_path}, and Ray's logs in {simulation.scratch}."
            )
        )
    else:
        outcome.put(None)


def _simulate(simulation: RaySimulation) -> None:
    _log_flower_to(RunDirectory(simulation.run).log_path)
    run_config: UserConfig = {"run": str(simulation.run), "hospitals": simulation.hospitals}
    _run_simulation(
        num_supernodes=simulation.hospitals,
        exit_event=EventType.PYTHON_API_RUN_SIMULATION_LEAVE,
        server_app_attr=simulation.server_app,
        client_app_attr=simulation.client_app,
        server_app_context=Context(
            run_id=0, node_id=0, node_config={}, state=RecordDict(), run_config=run_config
        ),
        backend_config=simulation.resources.backend_config(str(simulation.scratch)),
        app_dir=str(_write_app(simulation, run_config)),
        is_app=True,
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
    """What the server would have put back, had it come to its end."""
    RichConsole().show_cursor()
    RunDirectory(simulation.run).endpoint_path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
