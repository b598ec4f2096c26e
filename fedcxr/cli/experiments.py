"""``fedcxr experiments``, which is ``experiments/run``: from TOML files to the tables, in one command."""

import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import Overrides
from fedcxr.experiments.manifest import TablePlan, read_manifest
from fedcxr.experiments.tasks import Task, carry, once, tasks_of

if TYPE_CHECKING:
    from fedcxr.terminal.console import Console

_PLACES = {
    "--out": Path("runs/experiments"),
    "--results": Path("experiments/results"),
    "--tables": Path("experiments/tables"),
}


@app.command()
def experiments(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="The experiments of one table, as TOML files; the first is the reference."),
    ] = None,
    *,
    manifest: Annotated[
        Path | None,
        typer.Option(help="Read the tables from this list instead of from FILES.", show_default=False),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            help="Make only this table of the manifest. It may be given many times.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        list[int] | None,
        typer.Option("--seed", help="Run under this seed; the default is 0. It may be given many times."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder of the runs, each under NAME/seed-N.")] = _PLACES[
        "--out"
    ],
    results: Annotated[
        Path, typer.Option(help="The folder of what is kept of finished runs, each under NAME/seed-N.")
    ] = _PLACES["--results"],
    tables: Annotated[Path, typer.Option(help="The folder of the tables, each in NAME.md.")] = _PLACES[
        "--tables"
    ],
    name: Annotated[
        str | None,
        typer.Option(
            help="The name of the table that FILES make; the default is experiments.", show_default=False
        ),
    ] = None,
    overrides: Overrides = None,
    bootstrap: Annotated[int, typer.Option(min=40, help="Draw this many resamples of patients.")] = 1000,
    jobs: Annotated[
        int,
        typer.Option(
            min=1, help="Run this many experiments at once; the output of each goes to NAME/seed-N.log."
        ),
    ] = 1,
    discard: Annotated[
        bool, typer.Option("--discard", help="Remove a run once its result is kept: a run is gigabytes.")
    ] = False,
    speed: Annotated[
        bool,
        typer.Option(
            "--speed",
            help="Run nothing, and measure images a second for each table whose runs are finished, on an "
            "idle machine.",
        ),
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also score where each model looks, as fedcxr explain does.")
    ] = False,
) -> None:
    """Run TOML files under some seeds, keep their results, and write their tables.

    A run whose result is kept is skipped, and one that was cut off is continued (fedcxr simulate --resume). A
    run that failed is named in the table; the exit code is 70 then. A table has each experiment's command,
    seeds and intervals, and paired differences from the first.

    A manifest is TOML: an array of tables named table, each with name, title, files (beside the manifest),
    seeds, set, explain, and cost for a second table of bytes and seconds.
    """
    from fedcxr import files as writing
    from fedcxr.errors import ExperimentError
    from fedcxr.experiments.cost_table import cost_table
    from fedcxr.experiments.explanation_table import explanation_table
    from fedcxr.experiments.table import Experiment, experiment_table
    from fedcxr.terminal.console import Console

    if manifest is not None:
        _refuse({"FILES": files, "--seed": seeds, "--set": overrides, "--name": name, "--explain": explain})
        plans = _listed(manifest, only)
    elif files:
        _refuse({"--table": only})
        shown = name or "experiments"
        title = f"{shown}: AUROC on the same studies"
        plans = [TablePlan(shown, title, tuple(files), tuple(seeds or (0,)), tuple(overrides or ()), explain)]
    else:
        raise typer.BadParameter("give TOML files, or --manifest with the list of them.")
    console = Console()
    tasks = {plan.name: [tasks_of(path, plan, out, results) for path in plan.files] for plan in plans}
    runs = once(task for rows in tasks.values() for row in rows for task in row)
    failures: dict[Path, str] = {}
    if speed:
        plans = [plan for plan in plans if _measure(plan.name, tasks[plan.name], console)]
    else:
        run = partial(carry, console=console, quiet=jobs > 1, discard=discard, bootstrap=bootstrap)
        with ThreadPoolExecutor(jobs) as pool:
            told = pool.map(run, runs)
            failures = {task.result.folder: why for task, why in zip(runs, told, strict=True) if why}
    for plan in plans:
        made = []
        for path, row in zip(plan.files, tasks[plan.name], strict=True):
            failed = {t.config.seed: failures[t.result.folder] for t in row if t.result.folder in failures}
            kept = {t.config.seed: t.result for t in row if t.config.seed not in failed}
            made.append(Experiment(row[0].config.name, kept, failed, _simulation(path, plan, row[0], out)))
        found = [experiment_table(made, name=plan.name, title=plan.title, resamples=bootstrap)]
        if plan.explain:
            found.append(
                explanation_table(made, title=f"{plan.title}: where the models look", resamples=bootstrap)
            )
        if plan.cost:
            found.append(cost_table(made, title=f"{plan.title}: what they cost"))
        path = tables / f"{plan.name}.md"
        writing.make_folder(tables)
        command = _command(
            plan, manifest, bootstrap, {"--out": out, "--results": results, "--tables": tables}
        )
        text = "\n".join(table.markdown() for table in found)
        writing.write(path, f"{text}\nThe whole table: `{command}`\n")
        for table in found:
            console.print(table)
        console.say(f"table: {path}")
    if failures:
        raise ExperimentError("some runs failed: the tables name them, the same command tries them again.")


def _refuse(given: Mapping[str, object]) -> None:
    """What the other way of naming experiments takes, and this one would pass over."""
    if said := [name for name, value in given.items() if value]:
        what = "a manifest says them for each table" if "FILES" in given else "it chooses from a --manifest"
        raise typer.BadParameter(f"{', '.join(said)}: {what}.")


def _listed(manifest: Path, only: Sequence[str] | None) -> list[TablePlan]:
    """The tables of a manifest that are wanted."""
    from fedcxr.errors import ConfigError

    plans = read_manifest(manifest)
    if unknown := set(only or ()) - {plan.name for plan in plans}:
        raise ConfigError(
            f"--table {', '.join(sorted(unknown))}: {manifest} has {', '.join(p.name for p in plans)}."
        )
    return [plan for plan in plans if not only or plan.name in only]


def _measure(table: str, rows: Sequence[Sequence[Task]], console: "Console") -> bool:
    """Keep the speed of every experiment of a table, in turns; whether all its runs have a result."""
    from fedcxr.cli.progress import bar
    from fedcxr.training.speeds import measure_speeds

    missing = [task.run.root for row in rows for task in row if not task.result.exists]
    if missing:
        console.say(f"{table}: not measured, for {len(missing)} of its runs have no result yet")
        return False
    with bar(table, "turns") as progress:
        speeds = measure_speeds([row[0].result.config for row in rows], progress=progress)
    for row, speed in zip(rows, speeds, strict=True):
        for task in row:
            task.result.keep_speed(table, speed)
    return True


def _command(plan: TablePlan, manifest: Path | None, bootstrap: int, places: Mapping[str, Path]) -> str:
    """What makes a table again; folders that are the default ones need not be said."""
    if manifest is not None:
        parts = ["--manifest", str(manifest), "--table", plan.name]
    else:
        parts = [*map(str, plan.files), "--name", plan.name]
        parts += [x for seed in plan.seeds for x in ("--seed", str(seed))]
        parts += [x for override in plan.overrides for x in ("--set", override)]
        parts += ["--explain"] if plan.explain else []
    parts += [x for name, place in places.items() if place != _PLACES[name] for x in (name, str(place))]
    return f"experiments/run {shlex.join(parts)} --bootstrap {bootstrap}"


def _simulation(path: Path, plan: TablePlan, task: Task, out: Path) -> str:
    """What makes one run again, with SEED in the seed's place."""
    shown = shlex.join(x for override in (*plan.overrides, "seed=SEED") for x in ("--set", override))
    if task.config.data.phantom is not None:
        base = task.config.data.root.removesuffix(f"-seed-{task.config.seed}")
        shown += f" --set {shlex.quote(f'data.root={base}-seed-SEED')}"
    return f"fedcxr simulate {path} --out {out / task.config.name}/seed-SEED {shown}"
