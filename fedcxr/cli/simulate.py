"""``fedcxr simulate``: a consortium on one machine."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app

if TYPE_CHECKING:
    from fedcxr.config import Config


class GridName(StrEnum):
    """Where the simulated hospitals run."""

    LOCAL = "local"
    RAY = "ray"


@app.command()
def simulate(
    experiment: Annotated[Path, typer.Argument(help="A TOML file, as in experiments/.")],
    out: Annotated[Path, typer.Option(help="The run directory; an unfinished run there is continued.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value; may be given many times.")
    ] = None,
    grid: Annotated[GridName, typer.Option(help="In this process, or Flower's simulation on Ray.")] = (
        GridName.LOCAL
    ),
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Train the pooled model and each hospital alone, too.")
    ] = False,
) -> None:
    """Run a federation of simulated hospitals on this machine."""
    from fedcxr import config as configuration

    run_simulation(configuration.load(experiment, overrides or []), out, grid, baselines=baselines)


def run_simulation(config: "Config", out: Path, grid: GridName, *, baselines: bool) -> None:
    """Prepare a run, carry it to its end on a grid, and write its summary."""
    from rich.console import Console

    from fedcxr.report.comparison import comparison_table
    from fedcxr.report.summary import write_summary
    from fedcxr.store.run_directory import RunDirectory
    from server import console, simulation
    from server.comparison import compare

    try:
        run = simulation.simulate(config, out, simulation.CARRIERS[grid.value])
        if baselines:
            with console.Console() as shown:
                comparison = compare(run, shown.progress)
            Console().print(comparison_table(comparison).rich())
    except KeyboardInterrupt:
        done = RunDirectory(out).last_round
        said = f"interrupted: {done} of {config.federation.total_rounds} rounds are finalized"
        Console(stderr=True).print(f"[yellow]{said}; the same command continues the run.[/]", soft_wrap=True)
        if done:
            write_summary(RunDirectory(out))
        raise
    Console(highlight=False).print(f"summary: {write_summary(run)}", soft_wrap=True)
