"""``fedcxr simulate``: a consortium on one machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import Grid, GridName, Overrides
from fedcxr.terminal import say

if TYPE_CHECKING:
    from fedcxr.config import Config
    from fedcxr.training.measure import Measurement


@app.command()
def simulate(
    experiment: Annotated[
        Path | None,
        typer.Argument(help="The experiment: a TOML file, as in experiments/.", show_default=False),
    ] = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run directory to write; an unfinished run there is continued.", show_default=False
        ),
    ] = None,
    overrides: Overrides = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Continue this run with the configuration that it began with.",
            show_default=False,
        ),
    ] = None,
    grid: Grid = GridName.LOCAL,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            max=256,
            help="Hospitals that train at once on the local grid, each in a process of its own with "
            "training.threads threads; the model is the same. It pays where a hospital trains for seconds "
            "and no more threads than cores are at work.",
        ),
    ] = 1,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Train the pooled model and each hospital alone, too.")
    ] = False,
    report: Annotated[
        bool, typer.Option(help="Write RUN/report at the end, with every metric and pictures.")
    ] = True,
) -> None:
    """Run a federation of simulated hospitals on this machine, or continue one: --resume RUN."""
    from fedcxr import config as configuration

    if workers > 1 and grid is not GridName.LOCAL:
        raise typer.BadParameter(
            "it is for the local grid; Ray has as many workers as there is room for (federation.ray_cpus).",
            param_hint="--workers",
        )
    if resume is not None:
        if experiment is not None or out is not None or overrides:
            raise typer.BadParameter(
                "the run's own config.toml says what to run: give neither an experiment nor --out nor --set.",
                param_hint="--resume",
            )
        resume_simulation(resume, grid, baselines=baselines, report=report, workers=workers)
        return
    if experiment is not None and out is None:
        raise click.MissingParameter(ctx=click.get_current_context(), param_hint="--out", param_type="option")
    if experiment is None or out is None:
        raise typer.BadParameter("name an experiment and --out RUN, or continue one: --resume RUN.")
    config = configuration.load(experiment, overrides or [])
    run_simulation(config, out, grid, baselines=baselines, report=report, workers=workers)


def resume_simulation(
    root: Path, grid: GridName, *, baselines: bool, report: bool = True, workers: int = 1
) -> None:
    """Say how far a run has come by its ledger, and carry it to its end; a complete one is left alone."""
    from fedcxr.store.run_directory import RunDirectory

    run = RunDirectory.open(root, trusted=True)  # a wrong path is told before what takes seconds to import
    from fedcxr.run.resumption import run_progress

    progress = run_progress(run)
    say(f"{root}: {progress}")
    if not progress.complete or baselines:
        run_simulation(run.config, root, grid, baselines=baselines, report=report, workers=workers)


def run_simulation(
    config: "Config",
    out: Path,
    grid: GridName,
    *,
    baselines: bool,
    report: bool = True,
    workers: int = 1,
) -> None:
    """Prepare a run, carry it to its end on a grid, and write its summary and its report."""
    from fedcxr.errors import UnwritableError

    if out.is_file():
        raise UnwritableError(f"--out: {out} is a file; name a folder.", advice="Nothing was changed.")
    with _telling_how_to_continue(config, out):
        _run(config, out, grid, baselines=baselines, workers=workers)
    _tell_results(out, report=report)


@contextmanager
def _telling_how_to_continue(config: "Config", out: Path) -> Iterator[None]:
    """Have an interruption, from the first import on, say how far the run is and what continues it."""
    try:
        yield
    except KeyboardInterrupt:
        from fedcxr.store.run_directory import RunDirectory
        from fedcxr.terminal.console import Console

        begun = (out / "config.toml").is_file()
        done = RunDirectory(out).last_round if begun else 0
        said = f"interrupted: {done} of {config.federation.total_rounds} rounds are finalized"
        more = f"`fedcxr simulate --resume {out}` continues the run" if begun else "nothing was begun"
        Console(stderr=True).say((f"{said}; {more}.", "yellow"))
        if done:
            from fedcxr.report.summary import write_summary

            write_summary(RunDirectory(out))
        raise


def _run(config: "Config", out: Path, grid: GridName, *, baselines: bool, workers: int) -> None:
    from fedcxr.data.partition import Partition
    from fedcxr.experiments.baselines import compare_with_baselines
    from fedcxr.report.comparison_table import comparison_table
    from fedcxr.report.tables import count
    from fedcxr.run.duration import in_words, training_seconds
    from fedcxr.run.preparation import open_or_create, require_means
    from fedcxr.store.run_directory import RunDirectory
    from fedcxr.terminal.console import Console
    from server import console
    from server.grids import simulation

    measured: list[Measurement] = []

    def carry(run: RunDirectory, hospitals: int) -> None:
        if measured:
            speed = measured[0].images_per_second
            duration = in_words(training_seconds(run.config, Partition.read(run.partition_path), speed))
            alone = "" if grid is GridName.LOCAL and workers == 1 else ", with one hospital after the other"
            rounds = count(config.federation.rounds, "round")
            said = f"measured {speed:,.0f} images/s: {duration} of training for {rounds}{alone}"
            say(said)
        simulation.CARRIERS[grid.value](workers)(run, hospitals)

    require_means(config)
    if crowded := simulation.crowded(config.training.threads, workers):
        Console(stderr=True).say((crowded, "yellow"))
    with console.Console() as shown:
        open_or_create(out, config, shown.progress, measured.append)
    run = simulation.simulate(config, out, carry)
    if baselines:
        with console.Console() as shown:
            comparison = compare_with_baselines(run, shown.progress)
        Console().print(comparison_table(comparison))


def _tell_results(out: Path, *, report: bool) -> None:
    from fedcxr.report.summary import write_summary
    from fedcxr.run.released import report_last
    from fedcxr.store.run_directory import RunDirectory
    from fedcxr.terminal.console import Console

    run, screen = RunDirectory.open(out, trusted=True), Console()
    screen.say(f"summary: {write_summary(run)}")
    if report:
        with screen.status("report"):
            page = report_last(run)
        screen.say(f"report: {page}" if page else "report: none, no validation set has both classes")
