"""The tables of experiments, made from the kept results of their runs.

An experiment is a configuration, run under one or several seeds. Its AUROC is the mean over its seeds,
resample by resample, so that the interval says how it varies with patients; the spread over seeds stands
beside it. A difference from the first experiment is paired: the same seeds, studies and resamples. So is one
between two others, which a table of few rows has too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fedcxr.data.labels import LABELS
from fedcxr.errors import DataError
from fedcxr.evaluation.bootstrap import Resampled, areas
from fedcxr.evaluation.competition.pairing import pair
from fedcxr.evaluation.competition.sheets import read_scores, read_truth
from fedcxr.evaluation.metrics import ALL, COMPETITION, make_scores
from fedcxr.experiments.results import Facts, KeptSpeed, Result
from fedcxr.report.scores import FEW
from fedcxr.report.tables import Table, figure
from fedcxr.seeds import derive_seed

EVERY_PAIR = 4  # rows up to which every two are compared; of thirteen there would be 78 differences


@dataclass(frozen=True)
class Experiment:
    """One row of a table.

    Attributes:
        name: of the configuration.
        results: by seed; a seed whose run failed is not in it.
        failed: seeds that failed, and why.
        command: that made the runs, with ``SEED`` in the seed's place.
    """

    name: str
    results: Mapping[int, Result]
    failed: Mapping[int, str]
    command: str


@dataclass(frozen=True, eq=False)
class _Scored:
    """The scores of one finished run."""

    areas: Resampled
    few: tuple[str, ...]  # labels, and of how many patients
    studies: tuple[str, ...]
    facts: Facts
    speed: KeptSpeed | None


def experiment_table(
    experiments: Sequence[Experiment], *, name: str, title: str, resamples: int = 1000
) -> Table:
    """The table of experiments, a row each; differences are to the first.

    Args:
        experiments: with their results.
        name: of the table, under which speeds are kept.
        title: of the table.
        resamples: of patients.

    Raises:
        StoreError: a result lacks a file.
        DataError: an experiment's studies are not the first's.
    """
    scored = {
        experiment.name: {
            seed: _score(result, name, resamples) for seed, result in experiment.results.items()
        }
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
            "Over seeds: lowest and highest mean AUROC. Images a second: passes of one hospital's training, "
            "all rows measured in turn on a machine that did nothing else (--speed).",
            "Machine: "
            + "; ".join(sorted({run.facts.machine for runs in scored.values() for run in runs.values()}))
            + ".",
            *_few_note(scored[first]),
            *_pair_notes(scored),
            *commands,
            *failures,
        ),
    )


def _few_note(reference: Mapping[int, _Scored]) -> tuple[str, ...]:
    """The note on labels with few patients; it holds for every row, as all rows have the same studies."""
    few = next((run.few for run in reference.values() if run.few), ())
    if not few:
        return ()
    return (
        f"Fewer than {FEW} patients with, or without, the finding, so that its part in a mean's interval is "
        f"narrower than the doubt: {', '.join(few)}.",
    )


def _pair_notes(scored: Mapping[str, Mapping[int, _Scored]]) -> Iterator[str]:
    """Notes on the differences between experiments that are not the first, which no column shows."""
    if len(scored) > EVERY_PAIR:
        return
    for before, name in combinations(list(scored)[1:], 2):
        gain = _gain(name, scored[name], scored[before])
        if gain is not None:
            yield (
                f"{name} minus {before}: {figure(gain.estimate(ALL), signed=True)}; "
                f"five tasks {figure(gain.estimate(COMPETITION), signed=True)}."
            )


def _gain(name: str, own: Mapping[int, _Scored], first: Mapping[int, _Scored]) -> Resampled | None:
    """An experiment's gain over another, as the mean over the seeds that both have; None without one.

    Raises:
        DataError: their studies are not the same.
    """
    gains = []
    for seed in sorted(own.keys() & first.keys()):
        if own[seed].studies != first[seed].studies:
            raise DataError(
                f"{name}, seed {seed}: its validation studies are not those of the experiment that it is "
                "compared with, so that no difference is paired; give both the same data.root and "
                "data.valid_csv."
            )
        gains.append(own[seed].areas - first[seed].areas)
    return Resampled.mean(gains, [1.0] * len(gains)) if gains else None


def _row(
    name: str, own: Mapping[int, _Scored], first: Mapping[int, _Scored], *, reference: bool
) -> tuple[str, ...]:
    if not own:
        return (name, "0", "failed", *[""] * 7)
    together = Resampled.mean([run.areas for run in own.values()], [1.0] * len(own))
    gain = None if reference else _gain(name, own, first)
    speeds = [run.speed for run in own.values() if run.speed is not None]
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
        f"{speeds[0].parameters:,}" if speeds else "–",
        f"{round(np.mean([run.facts.passes for run in own.values()])):,}",
        f"{np.median([speed.images_per_second for speed in speeds]):,.1f}" if speeds else "–",
    )


def _score(result: Result, table: str, resamples: int) -> _Scored:
    """Score a run's kept predictions against the labels of its validation set."""
    predictions, truth = read_scores(result.predictions), read_truth(result.truth)
    if result.config.partition.leave_out:
        truth = truth.among(predictions.studies)
    paired = pair(predictions, truth, LABELS)
    # Not the run's own seed: every experiment of a table meets the same resamples.
    drawn = areas(paired, resamples, derive_seed(0, "experiments"))
    few = tuple(
        f"{score.label} ({score.fewest})"
        for score in make_scores(paired, drawn).labels
        if score.value is not None and score.fewest < FEW
    )
    speed = result.speed(table)
    return _Scored(areas=drawn, few=few, studies=truth.studies, facts=result.facts, speed=speed)
