"""The table of some experiments, made from the files that their runs left behind.

An experiment is a configuration, run under one or several seeds. Its AUROC is the mean over its seeds,
resample by resample, so that the interval says how it varies with patients; the spread over seeds stands
beside it. A difference from the first experiment is paired: the same seeds, studies and resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedcxr.data.labels import LABELS
from fedcxr.errors import DataError, StoreError
from fedcxr.evaluation.bootstrap import Resampled, areas
from fedcxr.evaluation.metrics import ALL, COMPETITION
from fedcxr.evaluation.pairing import pair
from fedcxr.evaluation.sheets import read_scores, read_truth
from fedcxr.report.rounds import read_rounds
from fedcxr.report.run_report import FOLDER
from fedcxr.report.tables import Table, figure
from fedcxr.seeds import derive_seed
from fedcxr.store.run_directory import RunDirectory


@dataclass(frozen=True)
class Experiment:
    """One row of a table.

    Attributes:
        name: of the configuration.
        runs: by seed; a seed whose run failed is not in it.
        failed: seeds that failed, and why.
        command: that made the runs, with ``SEED`` in the seed's place.
    """

    name: str
    runs: Mapping[int, RunDirectory]
    failed: Mapping[int, str]
    command: str


@dataclass(frozen=True, eq=False)
class _Scored:
    """One finished run."""

    areas: Resampled
    studies: tuple[str, ...]
    parameters: int
    speed: float  # images a second, of the median hospital and round
    passes: int


def experiment_table(experiments: Sequence[Experiment], *, title: str, resamples: int = 1000) -> Table:
    """A row an experiment, the first of them the reference of the differences.

    Args:
        experiments: with their runs.
        title: of the table.
        resamples: of patients.

    Raises:
        StoreError: a run lacks a file.
        DataError: an experiment's studies are not the first's.
    """
    scored = {
        experiment.name: {seed: _score(run, resamples) for seed, run in experiment.runs.items()}
        for experiment in experiments
    }
    first = experiments[0].name
    rows = [
        _row(experiment.name, scored[experiment.name], scored[first], reference=experiment.name == first)
        for experiment in experiments
    ]
    commands = [f"{experiment.name}: `{experiment.command}`" for experiment in experiments]
    failures = [
        f"{experiment.name}, seed {seed}, failed: {why}"
        for experiment in experiments
        for seed, why in experiment.failed.items()
    ]
    return Table(
        title=title,
        header=(
            "experiment",
            "seeds",
            "mean AUROC",
            f"minus {first}",
            "five tasks",
            f"minus {first}",
            "over seeds",
            "parameters",
            "image passes",
            "images/s",
        ),
        rows=tuple(rows),
        notes=(
            "Mean AUROC over all defined labels of the validation studies, mean over seeds; [95 %]: "
            f"percentile bootstrap over patients, {resamples:,} resamples; differences are paired by study "
            "and seed. "
            "Over seeds: lowest and highest mean AUROC. Images a second: of the median hospital and round.",
            *commands,
            *failures,
        ),
        essential=4,
    )


def _row(
    name: str, own: Mapping[int, _Scored], first: Mapping[int, _Scored], *, reference: bool
) -> tuple[str, ...]:
    if not own:
        return (name, "0", "failed", *[""] * 7)
    together = Resampled.mean([run.areas for run in own.values()], [1.0] * len(own))
    common = [seed for seed in own if seed in first]
    gains = []
    for seed in common:
        if own[seed].studies != first[seed].studies:
            raise DataError(
                f"{name}, seed {seed}: its validation studies are not those of the first experiment, so that "
                "no difference is paired; give both the same data.root and data.valid_csv."
            )
        gains.append(own[seed].areas - first[seed].areas)
    gain = Resampled.mean(gains, [1.0] * len(gains)) if gains and not reference else None
    means = [run.areas.estimate(ALL).value for run in own.values()]
    defined = [value for value in means if value is not None]
    spread = f"{min(defined):.3f} to {max(defined):.3f}" if len(defined) > 1 else "–"
    return (
        name,
        ", ".join(map(str, own)),
        figure(together.estimate(ALL)),
        figure(gain.estimate(ALL), signed=True) if gain else "",
        figure(together.estimate(COMPETITION)),
        figure(gain.estimate(COMPETITION), signed=True) if gain else "",
        spread,
        f"{max(run.parameters for run in own.values()):,}",
        f"{round(np.mean([run.passes for run in own.values()])):,}",
        f"{np.median([run.speed for run in own.values()]):,.0f}",
    )


def _score(run: RunDirectory, resamples: int) -> _Scored:
    """A run's stored predictions against its validation set."""
    config = run.config
    predictions = predictions_of(run)
    if not predictions.is_file():
        raise StoreError(f"{predictions}: missing; `fedcxr report {run.root}` writes it.")
    truth = read_truth(config.data.root_path / config.data.valid_csv)
    paired = pair(read_scores(predictions), truth, LABELS)
    records = read_rounds(run)
    rates = [
        hospital.passes / hospital.seconds
        for record in records
        for hospital in record.hospitals.values()
        if hospital.seconds > 0 and hospital.passes
    ]
    # Not the run's own seed: every experiment of a table meets the same resamples.
    seed = derive_seed(0, "experiments")
    return _Scored(
        areas=areas(paired, resamples, seed),
        studies=truth.studies,
        parameters=run.read_layout().size,
        speed=float(np.median(rates)) if rates else float("nan"),
        passes=sum(record.passes for record in records),
    )


def predictions_of(run: RunDirectory) -> Path:
    """Where a run's stored predictions are."""
    return run.root / FOLDER / "predictions.csv"
