"""``fedcxr experiments``, which is ``experiments/run``: from TOML files to the tables, in one command."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.report.manifest import TablePlan, read_manifest

if TYPE_CHECKING:
    from rich.console import Console

    from fedcxr.config import Config
    from fedcxr.report.results import Result
    from fedcxr.store.run_directory import RunDirectory

_EXPLAINED = 25  # findings a label: curves are two times seventeen predictions each
_PLACES = {
    "--out": Path("runs/experiments"),
    "--results": Path("experiments/results"),
    "--tables": Path("experiments/tables"),
}
_MEASURED = ("training.device", "training.precision", "training.memory_format")


@dataclass(frozen=True)
class _Task:
    """One run: of a file under a seed."""

    path: Path
    overrides: tuple[str, ...]
    config: "Config"
    run: "RunDirectory"
    result: "Result"
    explain: bool


@app.command()
def experiments(
    files: Annotated[
        list[Path] | None, typer.Argument(help="TOML files: one table; the first is the reference.")
    ] = None,
    *,
    manifest: Annotated[
        Path | None, typer.Option(help="A list of tables instead of files.", show_default=False)
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--table", help="Only this table of the manifest; may be given many times.", show_default=False
        ),
    ] = None,
    seeds: Annotated[
        list[int] | None, typer.Option("--seed", help="May be given many times; 0 by default.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs: NAME/seed-N each.")] = _PLACES["--out"],
    results: Annotated[
        Path, typer.Option(help="Folder of what is kept of finished runs: NAME/seed-N each.")
    ] = _PLACES["--results"],
    tables: Annotated[Path, typer.Option(help="Folder of the tables, NAME.md each.")] = _PLACES["--tables"],
    name: Annotated[str, typer.Option(help="Of the table of the files given.")] = "experiments",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value for all; may be given many times.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=40, help="Resamples of patients.")] = 1000,
    jobs: Annotated[
        int, typer.Option(min=1, help="Runs at once; what they say goes to NAME/seed-N.log.")
    ] = 1,
    discard: Annotated[
        bool, typer.Option("--discard", help="Remove a run once its result is kept: a run is gigabytes.")
    ] = False,
    speed: Annotated[
        bool,
        typer.Option(
            "--speed", help="Run nothing; measure images a second of each, in turn, when the machine is idle."
        ),
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also score where each model looks, as fedcxr explain does.")
    ] = False,
) -> None:
    """Run TOML files under some seeds, keep their results, and write their tables.

    A run whose result is kept is skipped, one that was cut off goes on (fedcxr simulate --resume), what
    failed is named in the table; the exit code is 70 then. A table has each experiment's command, seeds and
    intervals, and paired differences from the first.

    A manifest is TOML: an array of tables named table, each with name, title, files (beside the manifest),
    seeds, set and explain.
    """
    from rich.console import Console

    from fedcxr import files as writing
    from fedcxr.errors import ConfigError, ExperimentError
    from fedcxr.report.experiments import Experiment, experiment_table, explanation_table

    if bool(files) == bool(manifest):
        raise typer.BadParameter("give TOML files, or --manifest with the list of them.")
    if manifest is not None:
        plans = read_manifest(manifest)
        if unknown := set(only or ()) - {plan.name for plan in plans}:
            raise ConfigError(
                f"--table {', '.join(sorted(unknown))}: {manifest} has {', '.join(p.name for p in plans)}."
            )
        plans = [plan for plan in plans if not only or plan.name in only]
    else:
        title = f"{name}: AUROC on the same studies"
        plans = [
            TablePlan(name, title, tuple(files or ()), tuple(seeds or (0,)), tuple(overrides or ()), explain)
        ]
    console = Console(highlight=False, soft_wrap=True)
    tasks = {plan.name: [_tasks(path, plan, out, results) for path in plan.files] for plan in plans}
    once = _once(task for rows in tasks.values() for row in rows for task in row)
    if speed:
        _measure(tasks)
    with ThreadPoolExecutor(jobs) as pool:
        carry = (
            _await
            if speed
            else partial(_carry, console=console, quiet=jobs > 1, discard=discard, bootstrap=bootstrap)
        )
        told = pool.map(carry, once)
        failures = {task.result.folder: why for task, why in zip(once, told, strict=True) if why}
    for plan in plans:
        made = []
        for path, row in zip(plan.files, tasks[plan.name], strict=True):
            failed = {t.config.seed: failures[t.result.folder] for t in row if t.result.folder in failures}
            kept = {t.config.seed: t.result for t in row if t.config.seed not in failed}
            made.append(Experiment(row[0].config.name, kept, failed, _simulation(path, plan, row[0], out)))
        found = [experiment_table(made, title=plan.title, resamples=bootstrap)]
        if plan.explain:
            found.append(explanation_table(made, title=f"{plan.title}: where the models look"))
        path = tables / f"{plan.name}.md"
        writing.make_folder(tables)
        command = _command(
            plan, manifest, bootstrap, {"--out": out, "--results": results, "--tables": tables}
        )
        text = "\n".join(table.markdown() for table in found)
        writing.write(path, f"{text}\nThe whole table: `{command}`\n")
        for table in found:
            console.print(table)
        console.print(f"table: {path}")
    if failures:
        raise ExperimentError("some runs failed: the tables name them, the same command tries them again.")


def _once(tasks: "Iterable[_Task]") -> "list[_Task]":
    """Each run once, though it may be in two tables; explained where one of them wants that.

    Raises:
        ConfigError: two configurations have one name.
    """
    from fedcxr.errors import ConfigError

    found: dict[Path, _Task] = {}
    for task in tasks:
        first = found.setdefault(task.result.folder, task)
        if first.config != task.config:
            raise ConfigError(
                f"{first.path} and {task.path} are two configurations of one name, {task.config.name!r}, and "
                "so of one folder of results: give each a name of its own."
            )
        found[task.result.folder] = replace(first, explain=first.explain or task.explain)
    return list(found.values())


def _await(task: _Task) -> str:
    """Why a run has no result, or nothing."""
    return "" if task.result.exists else "it was not run yet"


def _measure(tasks: "Mapping[str, Sequence[Sequence[_Task]]]") -> None:
    """The speed of every experiment that has a result, table by table."""
    from fedcxr.cli.progress import bar
    from fedcxr.training.speeds import measure_speeds

    for name, rows in tasks.items():
        finished = [[task for task in row if task.result.exists] for row in rows]
        measured = [row for row in finished if row]
        with bar(name, "turns") as progress:
            speeds = measure_speeds([row[0].result.config for row in measured], progress=progress)
        for row, speed in zip(measured, speeds, strict=True):
            for task in row:
                task.result.keep_speed(speed)


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


def _simulation(path: Path, plan: TablePlan, task: _Task, out: Path) -> str:
    """What makes one run again, with SEED in the seed's place."""
    shown = shlex.join(x for override in (*plan.overrides, "seed=SEED") for x in ("--set", override))
    if task.config.data.phantom is not None:
        base = task.config.data.root.removesuffix(f"-seed-{task.config.seed}")
        shown += f" --set {shlex.quote(f'data.root={base}-seed-SEED')}"
    return f"fedcxr simulate {path} --out {out / task.config.name}/seed-SEED {shown}"


def _tasks(path: Path, plan: TablePlan, out: Path, results: Path) -> list[_Task]:
    """One experiment's runs, seed by seed."""
    from fedcxr import config as configuration
    from fedcxr.report.results import Result
    from fedcxr.store.run_directory import RunDirectory

    base = configuration.load(path, plan.overrides)
    tasks = []
    for seed in plan.seeds:
        own = [*plan.overrides, f"seed={seed}"]
        if base.data.phantom is not None:  # phantoms are drawn from the seed, each set in a folder of its own
            own.append(f"data.root={base.data.root}-seed-{seed}")
        place = Path(base.name) / f"seed-{seed}"
        config = configuration.load(path, own)
        run, result = RunDirectory(out / place), Result(results / place)
        tasks.append(_Task(path, tuple(own), config, run, result, plan.explain))
    return tasks


def _carry(task: _Task, console: "Console", *, quiet: bool, discard: bool, bootstrap: int) -> str:
    """Bring one run to its end and keep its result; why it failed, or nothing.

    Raises:
        ConfigError: the folder holds a run, or the result, of another configuration.
    """
    from fedcxr.errors import FedcxrError
    from fedcxr.report.results import predictions_of

    shown = f"{task.config.name}, seed {task.config.seed}"
    result, run = task.result, task.run
    if result.exists and (result.explanation.is_file() or not task.explain):
        _check_same(result.config, task.config, result.folder)
        return ""
    console.print(f"{shown}: begins")
    log = run.root.with_suffix(".log") if quiet else None
    if why := _simulate(task, log):
        console.print(f"{shown}: {why}")
        return why
    if not predictions_of(run).is_file() and (why := _call(["report", str(run.root)], log)):
        return why
    looked = ["explain", str(run.root), "--images", str(_EXPLAINED), "--bootstrap", str(bootstrap)]
    if task.explain and (why := _call(looked, log)):
        return why
    try:
        result.keep(run)
    except FedcxrError as error:
        return str(error)
    if discard:
        shutil.rmtree(run.root)
    console.print(f"{shown}: done, {result.facts.seconds / 60:.1f} min")
    return ""


def _check_same(held: "Config", wanted: "Config", folder: Path) -> None:
    from fedcxr.errors import ConfigError

    differing = {
        key: pair
        for key, pair in held.differences(wanted).items()
        if not (key in _MEASURED and pair[1] == "auto")
    }
    if differing:
        told = "; ".join(f"{key} is {old!r} there and {new!r} here" for key, (old, new) in differing.items())
        raise ConfigError(
            f"{folder} is of another configuration: {told}. Remove it, or choose another folder."
        )


def _simulate(task: _Task, log: Path | None) -> str:
    """Begin, continue or leave alone; why it failed, or nothing."""
    run = task.run
    arguments = ["simulate", str(task.path), "--out", str(run.root)]
    arguments += [x for override in task.overrides for x in ("--set", override)]
    if run.config_path.is_file():
        _check_same(run.config, task.config, run.root)
        if run.last_round == task.config.federation.total_rounds:
            return ""
        if run.founded:
            arguments = ["simulate", "--resume", str(run.root)]
    return _call(arguments, log)


def _call(arguments: Sequence[str], log: Path | None) -> str:
    """Run fedcxr in a process of its own; why it failed, or nothing."""
    from fedcxr import files

    program = [sys.executable, "-m", "fedcxr", *arguments]
    if log is None:
        done = subprocess.run(program, stderr=subprocess.PIPE, text=True, check=False)
    else:
        files.make_folder(log.parent)
        with log.open("ab") as file:
            done = subprocess.run(program, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return f"exit code {done.returncode}: {' '.join(lines[-2:])}"
