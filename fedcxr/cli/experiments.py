"""``fedcxr experiments``, which is ``experiments/run``: from TOML files to the tables, in one command."""

import shlex
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app

if TYPE_CHECKING:
    from fedcxr.config import Config
    from fedcxr.report.experiments import Experiment
    from fedcxr.store.run_directory import RunDirectory

_MEASURED = ("training.device", "training.precision", "training.memory_format")


@dataclass(frozen=True)
class TablePlan:
    """One table of a manifest: its name, title, files, seeds, and what all of them set."""

    name: str
    title: str
    files: tuple[Path, ...]
    seeds: tuple[int, ...]
    overrides: tuple[str, ...] = ()


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
        list[str] | None, typer.Option("--table", help="Only this table of the manifest.", show_default=False)
    ] = None,
    seeds: Annotated[
        list[int] | None, typer.Option("--seed", help="May be given many times; 0 by default.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs: NAME/seed-N each.")] = Path(
        "runs/experiments"
    ),
    tables: Annotated[Path, typer.Option(help="Folder of the tables, NAME.md each.")] = Path(
        "experiments/tables"
    ),
    name: Annotated[str, typer.Option(help="Of the table of the files given.")] = "experiments",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value for all; may be given many times.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=40, help="Resamples of patients.")] = 1000,
) -> None:
    """Run TOML files under some seeds, and write their tables from what the runs left behind.

    What is finished is skipped, what was cut off goes on (fedcxr simulate --resume), what failed is named in
    the table; the exit code is 70 then. A table has each experiment's command, seeds and intervals, and
    paired differences from the first.

    A manifest is TOML: for each table [[table]] with name, title, files (beside the manifest), seeds and set.
    """
    from rich.console import Console

    from fedcxr import files as writing
    from fedcxr.errors import ConfigError, FederationError
    from fedcxr.report.experiments import experiment_table

    if bool(files) == bool(manifest):
        raise typer.BadParameter("give TOML files, or --manifest with the list of them.")
    if manifest is not None:
        plans = _read_manifest(manifest)
        if unknown := set(only or ()) - {plan.name for plan in plans}:
            raise ConfigError(
                f"--table {', '.join(sorted(unknown))}: {manifest} has {', '.join(p.name for p in plans)}."
            )
        plans = [plan for plan in plans if not only or plan.name in only]
    else:
        title = f"{name}: AUROC on the same studies"
        plans = [TablePlan(name, title, tuple(files or ()), tuple(seeds or (0,)))]
    console = Console(highlight=False, soft_wrap=True)
    failed = False
    for plan in plans:
        made = [_carry(path, plan, out, (*plan.overrides, *(overrides or ()))) for path in plan.files]
        failed |= any(experiment.failed for experiment in made)
        table = experiment_table(made, title=plan.title, resamples=bootstrap)
        path = tables / f"{plan.name}.md"
        writing.make_folder(tables)
        command = _command(plan, manifest, overrides or (), bootstrap)
        writing.write(path, f"{table.markdown()}\nThe whole table: `{command}`\n")
        console.print(table.rich())
        console.print(f"table: {path}")
    if failed:
        raise FederationError("some runs failed: the tables name them, the same command tries them again.")


def _command(plan: TablePlan, manifest: Path | None, overrides: Sequence[str], bootstrap: int) -> str:
    """What makes a table again."""
    if manifest is not None:
        parts = ["--manifest", str(manifest), "--table", plan.name]
    else:
        parts = [*map(str, plan.files), "--name", plan.name]
        parts += [x for seed in plan.seeds for x in ("--seed", str(seed))]
    parts += [x for override in overrides for x in ("--set", override)]
    return f"experiments/run {shlex.join(parts)} --bootstrap {bootstrap}"


def _read_manifest(path: Path) -> list[TablePlan]:
    """Raises ConfigError where it is not TOML or lacks something."""
    from fedcxr.errors import ConfigError

    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
        return [
            TablePlan(
                name=str(table["name"]),
                title=str(table.get("title", table["name"])),
                files=tuple(path.parent / str(name) for name in table["files"]),
                seeds=tuple(int(seed) for seed in table.get("seeds", (0,))),
                overrides=tuple(map(str, table.get("set", ()))),
            )
            for table in tree["table"]
        ]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: each [[table]] wants name and files; may have seeds: {error}") from None


def _carry(path: Path, plan: TablePlan, out: Path, overrides: Sequence[str]) -> "Experiment":
    """All seeds of one experiment: finished, continued or begun."""
    from fedcxr import config as configuration
    from fedcxr.report.experiments import Experiment
    from fedcxr.store.run_directory import RunDirectory

    base = configuration.load(path, overrides)
    runs, failures = {}, {}
    for seed in plan.seeds:
        own = [*overrides, f"seed={seed}"]
        if base.data.phantom is not None:  # phantoms are drawn from the seed, each set in a folder of its own
            own.append(f"data.root={base.data.root}-seed-{seed}")
        run = RunDirectory(out / base.name / f"seed-{seed}")
        if why := _run(run, path, own, configuration.load(path, own)):
            failures[seed] = why
        else:
            runs[seed] = run
    shown = shlex.join(x for override in (*overrides, "seed=SEED") for x in ("--set", override))
    command = f"fedcxr simulate {path} --out {out / base.name}/seed-SEED {shown}"
    return Experiment(base.name, runs, failures, command)


def _run(run: "RunDirectory", path: Path, overrides: Sequence[str], config: "Config") -> str:
    """Carry one run to its end, in a process of its own; why it failed, or nothing.

    Raises:
        ConfigError: the folder holds a run of another configuration.
    """
    from fedcxr.errors import ConfigError
    from fedcxr.report.experiments import predictions_of

    arguments = ["simulate", str(path), "--out", str(run.root)]
    arguments += [x for override in overrides for x in ("--set", override)]
    if run.config_path.is_file():
        differing = {
            key: pair
            for key, pair in run.config.differences(config).items()
            if not (key in _MEASURED and pair[1] == "auto")
        }
        if differing:
            told = "; ".join(
                f"{key} is {held!r} there and {now!r} here" for key, (held, now) in differing.items()
            )
            raise ConfigError(f"{run.root} holds another run: {told}. Remove it, or choose another --out.")
        if run.last_round == config.federation.total_rounds:
            if predictions_of(run).is_file():
                return ""
            arguments = ["report", str(run.root)]
        elif run.founded:
            arguments = ["simulate", "--resume", str(run.root)]
    program = [sys.executable, "-m", "fedcxr", *arguments]
    done = subprocess.run(program, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0 and predictions_of(run).is_file():
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return f"exit code {done.returncode}: {' '.join(lines[-2:]) or 'nothing to report on'}"
