"""The table of experiments' saliency scores, and of differences between methods and between models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from pydantic import TypeAdapter

from fedcxr import bounded, json_text
from fedcxr.evaluation.explanation.case_scores import COLUMNS, CaseScores
from fedcxr.evaluation.explanation.saliency import positions
from fedcxr.evaluation.explanation.scores import Explanation
from fedcxr.experiments.table import EVERY_PAIR, Experiment
from fedcxr.models.registry import build_model
from fedcxr.report.explanation import grid_note
from fedcxr.report.tables import Table, figure
from fedcxr.seeds import derive_seed

_HIT, _COVERAGE, _DELETION, _INSERTION = (
    COLUMNS.index(name) for name in ("hit", "coverage", "deletion", "insertion")
)


def explanation_table(experiments: Sequence[Experiment], *, title: str, resamples: int = 1000) -> Table:
    """The table of saliency scores: a row for each experiment, seed and method that was explained.

    Args:
        experiments: with their results.
        title: of the table.
        resamples: of patients, for the differences between rows.
    """
    return Table(
        title=title,
        header=(
            "experiment: method",
            "seed",
            "findings",
            "hit",
            "hit gain",
            "coverage",
            "coverage gain",
            "usual place",
            "area",
            "deletion gain",
            "insertion gain",
        ),
        rows=tuple(row for experiment in experiments for row in _explained(experiment)),
        notes=(
            "Hit: the map's highest place is in the lesion's mask (pointing game, no tolerance); coverage: "
            "the lesion's share that is among as many highest places; usual place: coverage of the mean mask "
            "of the label's other patients; area: the mask's share of the image. Deletion and insertion: "
            "areas under the probability's curve. Gain: how much better a map does than the same method's "
            "map of another patient of the label, paired. [95 %]: bootstrap over patients.",
            *_grid_notes(experiments),
            *_pair_notes(experiments, resamples),
        ),
    )


def _grid_notes(experiments: Sequence[Experiment]) -> Iterator[str]:
    """Notes on how coarse Grad-CAM's maps are; one note where it is the same for all experiments."""
    grids = {}
    for experiment in experiments:
        for result in experiment.results.values():
            config = result.config
            grids[experiment.name] = grid_note(*positions(build_model(config.model), config.data.size))
    if len(set(grids.values())) == 1:
        yield next(iter(grids.values()))
    else:
        yield from (f"{name}: {note}" for name, note in grids.items())


def _explained(experiment: Experiment) -> Iterator[tuple[str, ...]]:
    for seed, result in experiment.results.items():
        if not result.explanation.is_file():
            continue
        found = TypeAdapter(Explanation).validate_json(bounded.read(result.explanation, json_text.LONGEST))
        for method, score in found.methods.items():
            own, faithful = score.localisation, score.faithfulness
            located = (
                (
                    figure(own.hit),
                    figure(own.hit_gain, signed=True),
                    figure(own.coverage),
                    figure(own.coverage_gain, signed=True),
                    figure(own.coverage_usual),
                    figure(own.area),
                )
                if own
                else ("–",) * 6
            )
            gains = (figure(gain, signed=True) for gain in (faithful.deletion_gain, faithful.insertion_gain))
            lesions = own.lesions if own else found.cases
            yield (f"{experiment.name}: {method}", str(seed), f"{lesions:,}", *located, *gains)


def _pair_notes(experiments: Sequence[Experiment], resamples: int) -> Iterator[str]:
    """Notes on the differences of every two methods on the same findings, of one model or two, by seed."""
    for seed in sorted({seed for experiment in experiments for seed in experiment.results}):
        rows = []
        for experiment in experiments:
            if seed in experiment.results and (path := experiment.results[seed].cases).is_file():
                own = CaseScores.read(path)
                rows += [(experiment.name, method, own) for method in own.methods]
        if len(rows) > EVERY_PAIR:
            continue
        for (model, method, own), (other_model, other_method, other) in combinations(rows[::-1], 2):
            gain = own.minus(other, method, other_method, resamples=resamples, seed=derive_seed(0, "looks"))
            columns = {"hit": _HIT, "coverage": _COVERAGE}
            if model == other_model:  # of two models, probabilities fall from different heights
                columns |= {"deletion": _DELETION, "insertion": _INSERTION}
            figures = {name: gain.estimate([column]) for name, column in columns.items()}
            said = "; ".join(
                f"{name} {figure(difference, signed=True)}"
                for name, difference in figures.items()
                if difference.value is not None
            )
            if said:
                yield f"{model}: {method} minus {other_model}: {other_method}, seed {seed}: {said}."
