"""The folder ``RUN/report/``: every figure of one released model, and pictures of them.

::

    report/
      report.md         every metric, with the pictures
      metrics.json      the same figures
      predictions.csv   of the validation studies, all 14 labels, as `fedcxr evaluate` takes them
      roc.png           ROC and precision-recall curves
      reliability.png   probabilities against truth
      learning.png      loss and AUROC, hospital by hospital
      embedding.png     t-SNE of the features, by finding and by hospital
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from fedcxr import files
from fedcxr.config import Config
from fedcxr.data.chexpert import ChexpertTable
from fedcxr.data.labels import LABELS
from fedcxr.errors import DataError
from fedcxr.evaluation.competition.predictions import StudyPredictions
from fedcxr.evaluation.panel import Panel, measure_panel
from fedcxr.evaluation.thresholds import FOLDS, cross_fit, rule
from fedcxr.evaluation.validation_set import ValidationSet, bootstrap_seed
from fedcxr.models.network import Network
from fedcxr.report import markdown
from fedcxr.report.assessment import panel_table
from fedcxr.report.embedding import FEWEST, choose, draw_embedding
from fedcxr.report.learning import draw_learning
from fedcxr.report.pictures import picture_title
from fedcxr.report.reliability import draw_reliability
from fedcxr.report.roc import draw_roc
from fedcxr.report.scores import bootstrap_note
from fedcxr.report.summary import never_trained_warning
from fedcxr.round_lines import read_rounds
from fedcxr.store.run_directory import RunDirectory
from fedcxr.store.training_labels import never_trained

FOLDER = "report"


def write_report(
    run: RunDirectory, model: Network, table: ChexpertTable, valid: ValidationSet, *, round_number: int
) -> Path:
    """Score a released model on its validation set, write the folder, and return the path of ``report.md``.

    Args:
        run: the run.
        model: with the weights of round ``round_number``.
        table: the validation set's rows.
        valid: the same, decoded.
        round_number: of the model.

    Raises:
        DataError: no label has both classes.
        NonFiniteError: the model gives NaN or infinity for an image.
        StoreError: it cannot be written.
    """
    config, folder = run.config, run.root / FOLDER
    probabilities = valid.predict(model, config)
    scored = valid.score(probabilities)
    files.make_folder(folder)
    StudyPredictions.of(table, probabilities).write(folder / "predictions.csv", LABELS)
    title = picture_title(config, round_number)
    labels = draw_roc(scored, folder / "roc.png", title=title)
    if not labels:
        raise DataError(f"{table.csv}: no label has positive and negative studies: nothing to report.")
    draw_reliability(scored, folder / "reliability.png", title=title)
    pictures = ["roc.png", "reliability.png"]
    if records := read_rounds(run):
        draw_learning(records, folder / "learning.png", title=picture_title(config))
        pictures.append("learning.png")
    if len(valid.images) >= FEWEST:
        _draw_embedding(model, valid, config, folder / "embedding.png", title)
        pictures.append("embedding.png")
    panel = measure_panel(
        scored,
        labels,
        cross_fit(scored, config.seed, config.evaluation.target_sensitivity),
        resamples=config.evaluation.bootstrap,
        seed=bootstrap_seed(config),
    )
    files.write(folder / "metrics.json", TypeAdapter(Panel).dump_json(panel, indent=1).decode() + "\n")
    files.write(folder / "report.md", _page(title, panel, run, pictures))
    return folder / "report.md"


def _draw_embedding(model: Network, valid: ValidationSet, config: Config, path: Path, title: str) -> None:
    rows = choose(len(valid.images), config.seed)
    owners = {name: np.flatnonzero(np.isin(rows, own)) for name, own in valid.hospitals.items()}
    features = valid.embed(model, rows, config)
    draw_embedding(features, valid.labels[rows], owners, path, title=title, seed=config.seed)


def _again(config: Config) -> str:
    """The sentence that says which command computes the figures again."""
    words = ["fedcxr evaluate --predictions predictions.csv --truth VALID.csv --labels all --metrics"]
    words.append(f"--seed {config.seed}")
    if config.evaluation.target_sensitivity:
        words.append(f"--target-sensitivity {config.evaluation.target_sensitivity:g}")
    command = f"`{' '.join(words)}` gives the same figures, their intervals by other resamples"
    if not (sites := config.partition.leave_out):
        return f"{command}."
    whose = markdown.words(", ".join(sites))
    return f"Without the patients of {whose}; where VALID.csv is without them, too, {command}."


def _page(title: str, panel: Panel, run: RunDirectory, pictures: list[str]) -> str:
    config, untrained = run.config, never_trained(run)
    how = rule(config.evaluation.target_sensitivity)
    parts = [f"# {title}\n"]
    if untrained:
        parts.append(never_trained_warning(untrained) + "\n")
    parts.append(panel_table(panel, f"{how}, cross-fitted over {FOLDS} folds of patients").markdown())
    parts.append(
        f"{bootstrap_note(config.evaluation.bootstrap)} "
        "Per study: the highest probability of its views; uncertain and blank labels are left out. "
        f"{_again(config)}\n"
    )
    parts += [f"![{Path(name).stem}]({name})\n" for name in pictures]
    return "\n".join(parts)
