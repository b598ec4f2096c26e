"""``fedcxr leave-one-site-out``: what a federation is worth to a hospital that was not in it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import Experiment, Grid, GridName, Overrides

if TYPE_CHECKING:
    from fedcxr.config import Config
    from fedcxr.data.manifest import Partition
    from fedcxr.evaluation.scores import Evaluation
    from fedcxr.experiments.sites import SiteResult
    from fedcxr.run.released import ReleasedModel
    from fedcxr.store.run_directory import RunDirectory

_RESULT = "unseen.json"


@app.command("leave-one-site-out")
def leave_one_site_out(
    experiment: Experiment,
    *,
    out: Annotated[Path, typer.Option(help="The folder of the runs; what is finished there is kept.")],
    sites: Annotated[
        list[str] | None,
        typer.Option(
            "--site", help="Leave only this site out. It may be given many times.", show_default=False
        ),
    ] = None,
    overrides: Overrides = None,
    grid: Grid = GridName.LOCAL,
    report: Annotated[bool, typer.Option(help="Write each run's report, too.")] = False,
) -> None:
    """Leave each site out in turn: train a federation of all others, and test its model on that site.

    Each site has a run under OUT/NUMBER-SITE/run, made by the same code as `fedcxr simulate --set
    partition.leave_out=["SITE"]`; the same command continues what was cut off and skips what is finished. The
    model is tested on all patients of the site, those of train and of valid: OUT/NUMBER-SITE/unseen.csv has
    them. The command writes OUT/sites.md, and each site's predictions.csv and unseen.json. It wants
    partition.scheme = "natural".
    """
    from fedcxr import config as configuration
    from fedcxr import files
    from fedcxr.data.dataset import read_dataset
    from fedcxr.data.partition import make_partition
    from fedcxr.data.unseen_site import write_unseen
    from fedcxr.errors import ConfigError
    from fedcxr.experiments.sites import site_table
    from fedcxr.store.run_directory import RunDirectory
    from fedcxr.terminal.console import Console

    config = configuration.load(experiment, overrides or ())
    if config.partition.scheme != "natural":
        raise ConfigError(
            f"partition.scheme = {config.partition.scheme!r}: its hospitals are dealt out, so none is a "
            "site; allowed here: 'natural'."
        )
    if not config.model.normalisation.one_model:
        allowed = ", ".join(
            f"'{norm.name}'" for norm in configuration.NORMALISATIONS.values() if norm.one_model
        )
        raise ConfigError(
            f"model.norm = '{config.model.norm}': a site that was not in the federation has no normalisation "
            f"of its own; allowed here: {allowed}."
        )
    if config.partition.leave_out:
        raise ConfigError("partition.leave_out: each site is left out in turn; --site says which.")
    train, valid = read_dataset(config.data, config.seed)
    partition = make_partition(train, valid, config.partition, config.seed, config.data.root_path)
    for site in sites or ():
        partition.shard(site)
    console = Console()
    results = {}
    for number, site in enumerate(partition.names):
        folder = out / f"{number:02d}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', site)}"
        finished = (folder / _RESULT).is_file()  # of an earlier call: checked as any, and kept in the table
        if sites and site not in sites:
            if not finished:
                continue
            if not _complete(RunDirectory(folder / "run")):
                raise ConfigError(
                    f"{folder / _RESULT}: its run is not there, so nothing says what it is of; remove it, or "
                    f"train anew with --site {site}."
                )
        files.make_folder(folder)
        write_unseen(site, partition, train, valid, folder / "unseen.csv")
        without = config.with_changes({"partition.leave_out": [site]})
        wanted = make_partition(train, valid, without.partition, config.seed, config.data.root_path)
        _prepare(RunDirectory(folder / "run"), wanted)
        try:
            results[site] = _carry(without, folder, grid, report=report)
        except KeyboardInterrupt:
            said = "the same leave-one-site-out command goes on from there, to all sites' table."
            Console(stderr=True).say((said, "yellow"))
            raise
        console.say(f"{site}: left out, {folder}")
    synthetic = "SYNTHETIC X-rays: " if config.data.phantom else ""
    title = f"{synthetic}{config.name}, {config.model.name}: each site left out in turn, seed {config.seed}"
    table = site_table(results, title=title)
    files.write(out / "sites.md", table.markdown())
    console.print(table)


def _prepare(run: "RunDirectory", wanted: "Partition") -> None:
    """One cache for all runs, and no run of other tables.

    Raises:
        PartitionError: the run has another partition than today's tables give.
    """
    from fedcxr import files
    from fedcxr.data.manifest import Partition
    from fedcxr.errors import PartitionError

    if run.partition_path.is_file() and Partition.read(run.partition_path) != wanted:
        raise PartitionError(
            f"{run.partition_path} was made of other tables than those of today: remove {run.root.parent} to "
            "train anew, or choose another --out."
        )
    shared = run.root.parent.parent / "cache"
    files.make_folder(shared)
    files.make_folder(run.root)
    if not run.cache.exists():
        run.cache.symlink_to(Path("..", "..", shared.name))


def _complete(run: "RunDirectory") -> bool:
    return run.config_path.is_file() and run.last_round == run.config.federation.total_rounds


def _carry(config: "Config", folder: Path, grid: GridName, *, report: bool) -> "SiteResult":
    """One site's run, begun, continued or found finished, and its model on the site."""
    from fedcxr.cli.simulate import run_simulation
    from fedcxr.experiments.sites import SiteResult, read_result, write_result
    from fedcxr.round_lines import read_rounds
    from fedcxr.run.preparation import open_or_create
    from fedcxr.run.released import ReleasedModel, report_last
    from fedcxr.store.run_directory import RunDirectory

    run = RunDirectory(folder / "run")
    path = folder / _RESULT
    if _complete(run):
        open_or_create(run.root, config)  # the same configuration, or an error that says what differs
        if report and not (run.root / "report" / "report.md").is_file():
            report_last(run)
    else:
        path.unlink(missing_ok=True)
        run_simulation(config, run.root, grid, baselines=False, report=report)
    if path.is_file():
        return read_result(path)
    released = ReleasedModel.open(run.root)
    seen = released.valid.evaluate(released.valid.predict(released.model, run.config), run.config)
    result = SiteResult(_score(released, folder), seen, read_rounds(run)[-1].model)
    write_result(result, path)
    return result


def _score(released: "ReleasedModel", folder: Path) -> "Evaluation":
    """The model on the site that it never saw; its predictions are kept for `fedcxr evaluate`."""
    from fedcxr.data.cache import prepare
    from fedcxr.data.chexpert import read_table
    from fedcxr.data.labels import LABELS
    from fedcxr.evaluation.competition.predictions import StudyPredictions
    from fedcxr.evaluation.validation_set import ValidationSet

    config = released.run.config
    table = read_table(folder / "unseen.csv", config.data.root_path)
    images = prepare(table, config.data.size, folder / "cache" / f"{config.data.size}px").images
    unseen = ValidationSet(images, table.labels, table.study_codes, table.patient_codes, {})
    probabilities = unseen.predict(released.model, config)
    StudyPredictions.of(table, probabilities).write(folder / "predictions.csv", LABELS)
    return unseen.evaluate(probabilities, config)
