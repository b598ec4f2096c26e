"""The runs of experiments: which runs there are, and how one is completed and its results kept."""

import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedcxr.experiments.manifest import TablePlan

if TYPE_CHECKING:
    from fedcxr.config import Config
    from fedcxr.experiments.results import Result
    from fedcxr.store.run_directory import RunDirectory
    from fedcxr.terminal.console import Console

_EXPLAINED = 25  # findings a label: curves are two times seventeen predictions each
_LEFT_OPEN = {  # until a run is made
    "training.device": "auto",
    "training.precision": "auto",
    "training.memory_format": "auto",
    "model.pretrained_digest": "",
}


@dataclass(frozen=True)
class Task:
    """One run: the experiment of a file under one seed."""

    path: Path
    overrides: tuple[str, ...]
    config: "Config"
    run: "RunDirectory"
    result: "Result"
    explain: bool


def tasks_of(path: Path, plan: TablePlan, out: Path, results: Path) -> list[Task]:
    """List the runs of one experiment, one for each seed."""
    from fedcxr import config as configuration
    from fedcxr.experiments.results import Result
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
        tasks.append(Task(path, tuple(own), config, run, result, plan.explain))
    return tasks


def once(tasks: Iterable[Task]) -> list[Task]:
    """List each run once, though two tables may have it; it is explained where one of them asks for that.

    Raises:
        ConfigError: two configurations have one name.
    """
    from fedcxr.errors import ConfigError

    found: dict[Path, Task] = {}
    for task in tasks:
        first = found.setdefault(task.result.folder, task)
        if first.config != task.config:
            raise ConfigError(
                f"{first.path} and {task.path} are two configurations of one name, {task.config.name!r}, and "
                "so of one folder of results: give each a name of its own."
            )
        found[task.result.folder] = replace(first, explain=first.explain or task.explain)
    return list(found.values())


def carry(task: Task, console: "Console", *, quiet: bool, discard: bool, bootstrap: int) -> str:
    """Complete one run and keep its results; return the reason where it failed, else nothing.

    Raises:
        ConfigError: the folder holds a run, or the result, of another configuration.
    """
    from fedcxr.errors import FedcxrError
    from fedcxr.experiments.results import predictions_of

    shown = f"{task.config.name}, seed {task.config.seed}"
    result, run = task.result, task.run
    if result.exists and (result.explanation.is_file() or not task.explain):
        _check_same(result.config, task.config, result.folder)
        return ""
    console.say(f"{shown}: begins")
    log = run.root.with_suffix(".log") if quiet else None
    if why := _simulate(task, log):
        console.say(f"{shown}: {why}")
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
    console.say(f"{shown}: done, {result.facts.seconds / 60:.1f} min")
    return ""


def _check_same(held: "Config", wanted: "Config", folder: Path) -> None:
    from fedcxr.errors import ConfigError

    differing = {
        key: pair
        for key, pair in held.differences(wanted).items()
        if key not in _LEFT_OPEN or pair[1] != _LEFT_OPEN[key]
    }
    if differing:
        told = "; ".join(f"{key} is {old!r} there and {new!r} here" for key, (old, new) in differing.items())
        raise ConfigError(
            f"{folder} is of another configuration: {told}. Remove it, or choose another folder."
        )


def _simulate(task: Task, log: Path | None) -> str:
    """Begin the run, or continue it where it is not complete; return the reason where it failed."""
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
    """Run fedcxr in a process of its own; return the reason where it failed, else nothing."""
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
