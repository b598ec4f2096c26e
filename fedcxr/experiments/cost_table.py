"""The table of what experiments cost: the bytes that hospitals sent, and the time of the rounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedcxr.experiments.table import Experiment
from fedcxr.report.tables import Table


def cost_table(experiments: Sequence[Experiment], *, title: str) -> Table:
    """A row an experiment: means over the seeds that it has in common with the first, and their ratios.

    Args:
        experiments: with their results; ratios are to the first.
        title: of the table.

    Raises:
        StoreError: a result lacks a file.
    """
    first = experiments[0]
    return Table(
        title=title,
        header=("experiment", "seeds", "rounds", "values", "MB sent", "ratio", "seconds", "ratio"),
        rows=tuple(_row(experiment, first) for experiment in experiments),
        notes=(
            "MB sent: by all hospitals in all rounds, mean over seeds. Seconds: of all rounds, whatever else "
            "the machine did; `fedcxr bench forms` measures an update's part of it alone. Ratios: to "
            f"{first.name}, of the seeds that both have.",
        ),
    )


def _row(own: Experiment, first: Experiment) -> tuple[str, ...]:
    seeds = sorted(own.results.keys() & first.results.keys())
    if not seeds:
        return (own.name, "0", *["–"] * 6)
    mine, theirs = (np.array([_costs(e, seed) for seed in seeds]) for e in (own, first))
    (sent, seconds), (sent_ratio, seconds_ratio) = mine.mean(0), (mine / theirs).mean(0)
    facts = own.results[seeds[0]].facts
    return (
        own.name,
        ", ".join(map(str, seeds)),
        f"{facts.rounds}",
        f"{facts.parameters:,}",
        f"{sent / 1e6:,.1f}",
        f"{sent_ratio:.3f}",
        f"{seconds:,.0f}",
        f"{seconds_ratio:.2f}",
    )


def _costs(experiment: Experiment, seed: int) -> tuple[float, float]:
    facts = experiment.results[seed].facts
    return float(facts.bytes_up), facts.seconds
