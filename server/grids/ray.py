"""A simulation on Ray, in a child process that can always be ended.

Flower's engine does not end at Ctrl-C, and Ray leaves daemons behind. So both run in a session of their own,
which this process kills as a whole at the end, whatever the end. A pipe is held open to the child; when it
closes because this process is dead, the child sees to it itself (:mod:`server.grids.ray_leftovers`).
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

from fedcxr.errors import FedcxrError, GridError
from fedcxr.models.registry import create_model
from fedcxr.store.run_directory import RunDirectory
from fedcxr.training.shared_tensors import federation_layout
from server.grids import ray_leftovers
from server.grids.flower_environment import flower_environment
from server.grids.ray_resources import RayResources

_GRACE = 15.0  # seconds in which the child exits after it said how it went


@dataclass(frozen=True)
class RaySimulation:
    """What the child process is asked to run.

    Attributes:
        run: the run directory, absolute.
        hospitals: nodes of the simulation; node i is the partition's hospital i.
        scratch: directory for Ray's logs and sockets and Flower's state; removed when all went well.
        server_app, client_app: references as in ``pyproject.toml``.
    """

    run: Path
    hospitals: int
    resources: RayResources
    scratch: Path
    server_app: str
    client_app: str


def simulate_on_ray(
    run: RunDirectory,
    hospitals: int,
    *,
    server_app: str = "server.app:app",
    client_app: str = "clients.app:app",
) -> None:
    """Carry a prepared run to its end on Ray; blocks, and leaves no process behind however it ends.

    Args:
        run: prepared by :func:`fedcxr.run.preparation.prepare_simulation`.
        hospitals: how many hospitals the run has.

    Raises:
        GridError: the machine lacks what the configuration asks for, or the simulation's process died.
        FedcxrError: whatever else ended the run, as it was raised in the child.
    """
    config = run.config
    layout = federation_layout(create_model(config.model, seed=config.seed), config)
    resources = RayResources.plan(config, hospitals, model_bytes=4 * layout.size)
    scratch = _make_scratch()
    simulation = RaySimulation(run.root.absolute(), hospitals, resources, scratch, server_app, client_app)
    error: FedcxrError | None = None
    try:
        error = _run(simulation)
    finally:
        if not isinstance(error, GridError):  # that one's message points into the scratch
            ray_leftovers.remove(run.endpoint_path, scratch)
    if error is not None:
        raise error


def _run(simulation: RaySimulation) -> FedcxrError | None:
    pipe, theirs = Pipe()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "server.grids.ray_process", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            env=flower_environment(simulation.scratch / "flwr"),
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    try:
        pipe.send(simulation)
        error: FedcxrError | None = pipe.recv()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        status = process.wait()
        how = f"was killed by signal {-status}" if status < 0 else f"ended with exit code {status}"
        return GridError(
            f"the simulation's process {how}; Ray's logs are in {simulation.scratch}. "
            "What is finalized stands: the same command continues."
        )
    finally:
        ray_leftovers.end(process.pid)
        process.wait()
        pipe.close()
    return error


def _make_scratch() -> Path:
    # Ray puts unix sockets below it, whose names may have 103 characters; $TMPDIR may be too long for that.
    short = Path("/tmp")  # noqa: S108  mkdtemp makes a fresh directory, ours only
    return Path(tempfile.mkdtemp(prefix="fedcxr-ray-", dir=short if short.is_dir() else None))
