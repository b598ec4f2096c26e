"""The Flower ServerApp; the same under every grid.

Its run configuration says what to run::

    run         the run directory
    experiment  a TOML file; when the run does not exist yet, it is made from this
    set         "key=value;key=value" overrides of it
    hospitals   how many hospital nodes to wait for; 0 simulates those of the partition on this machine
    report      whether to write the run's report at the end, where the coordinator has a validation set

Relative paths start at the working directory of the process that runs this app: under ``flwr run`` that is
the SuperLink's. An experiment that is not there is looked for in the app as it was packaged.
"""

from __future__ import annotations

import contextlib
import logging
import time
from importlib.metadata import version
from pathlib import Path
from platform import platform, python_version

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedcxr import config as configuration
from fedcxr import files
from fedcxr.chain.backends import open_chain, shown_to_others
from fedcxr.errors import ConfigError, FedcxrError, GridError
from fedcxr.report.summary import write_summary
from fedcxr.run.founding import open_ledger, prepare_genesis
from fedcxr.run.logfile import log_to
from fedcxr.run.preparation import (
    Progress,
    draw_partition,
    make_evaluator,
    open_or_create,
    prepare_simulation,
)
from fedcxr.run.released import report_last
from fedcxr.store.run_directory import RunDirectory
from server.console import Console
from server.coordinator import Coordinator, Evaluate
from server.event_log import log_event
from server.events import Event, Observer

logger = logging.getLogger(__name__)
app = ServerApp()
_NODES_APPEAR = 30.0  # seconds


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Make or resume the run, and carry its rounds to the end."""
    values = context.run_config
    out = Path(str(values.get("run") or ""))
    if not str(values.get("run") or ""):
        raise ConfigError("the run configuration lacks run: --run-config 'run=\"DIRECTORY\"'.")
    hospitals = int(values.get("hospitals") or 0)
    if experiment := str(values.get("experiment") or ""):
        overrides = [s for s in str(values.get("set") or "").split(";") if s.strip()]
        run = open_or_create(out, configuration.load(_locate(Path(experiment)), overrides))
    else:
        run = RunDirectory.open(out, trusted=True)
    with Console() as console:
        carry_out(grid, run, hospitals, console, console.progress)
    if values.get("report"):
        with log_to(run.log_path):
            page = report_last(run)
            logger.info("report: %s", page or "none, no validation set has both classes")


def carry_out(grid: Grid, run: RunDirectory, hospitals: int, observer: Observer, progress: Progress) -> None:
    """Carry a run's rounds to their end, with its log open, write its summary and draw its partition.

    Args:
        grid: over which hospitals are reached.
        run: the run.
        hospitals: how many to wait for; 0 simulates those of the partition, which is made ready first.
        observer: told of each event.
        progress: told of the preparation of a simulation.

    Raises:
        FedcxrError: what ended it; the same call goes on from there.
    """
    with log_to(run.log_path):
        logger.info(
            "fedcxr %s, Python %s, torch %s, %s",
            version("fedcxr"),
            python_version(),
            version("torch"),
            platform(),
        )
        try:
            if hospitals == 0:
                hospitals = len(prepare_simulation(run, progress).names)
                _check_nodes(grid, hospitals)
            coordinate(grid, run, hospitals, observer, make_evaluator(run))
        except FedcxrError as error:
            logger.error("%s: %s; the same command continues the run", type(error).__name__, error)
            raise
    write_summary(run)
    draw_partition(run)


def _locate(experiment: Path) -> Path:
    packaged = Path(__file__).resolve().parents[1] / experiment
    return packaged if packaged.is_file() and not experiment.is_file() else experiment


def _check_nodes(grid: Grid, hospitals: int) -> None:
    """A simulation's nodes are all there from its start: to wait for one more would be to wait in vain."""
    deadline = time.monotonic() + _NODES_APPEAR
    while (nodes := len(list(grid.get_node_ids()))) < hospitals:
        if time.monotonic() > deadline:
            raise GridError(
                f"the simulation has {nodes} nodes, but the partition {hospitals} hospitals: "
                f"flwr run --federation-config 'num-supernodes={hospitals}'."
            )
        time.sleep(0.1)


def coordinate(
    grid: Grid, run: RunDirectory, hospitals: int, observer: Observer, evaluate: Evaluate | None
) -> None:
    """Run a federation's rounds over a grid, with its ledger open to the hospitals meanwhile.

    Raises:
        FedcxrError: what ended it; everything finalized before stands, and the same call goes on from there.
    """

    def observe(event: Event) -> None:
        log_event(event)
        observer(event)

    config = run.config
    layout = prepare_genesis(run)
    with contextlib.ExitStack() as stack:
        chain = None
        if config.ledger.backend != "off":
            chain = open_chain(config.ledger, embedded=run.chain_path, journal=run.journal_path)
            stack.enter_context(contextlib.closing(chain))
            url = stack.enter_context(shown_to_others(chain, config.ledger.rpc_host, config.ledger.rpc_port))
            files.write(run.endpoint_path, url + "\n", mode=0o600)  # a URL may hold a secret
            stack.callback(run.endpoint_path.unlink, missing_ok=True)
        Coordinator(
            grid,
            run,
            open_ledger(run, layout, chain),
            layout=layout,
            expected_hospitals=hospitals,
            observer=observe,
            evaluate=evaluate,
        ).run()
