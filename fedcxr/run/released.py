"""A released model of a run, with the validation set that it is scored on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedcxr.data.chexpert import ChexpertTable
from fedcxr.errors import ConfigError, DataError, StoreError
from fedcxr.evaluation.validation_set import ValidationSet
from fedcxr.models.network import Network
from fedcxr.models.registry import build_model
from fedcxr.report.run_report import write_report
from fedcxr.round_lines import read_rounds
from fedcxr.run.model_files import check_digest
from fedcxr.run.preparation import make_evaluator
from fedcxr.store.run_directory import RunDirectory
from fedcxr.training.shared_tensors import load_released
from fedcxr.update.layout import Layout, Vector


@dataclass(frozen=True, eq=False)
class ReleasedModel:
    """A released model of a run, and the validation set that it is scored on.

    Attributes:
        run: the run.
        round: that released the model; 0 for the model that the federation started from.
        model: with its weights, on the CPU. Where hospitals have a normalisation of their own, the model has
            none, and ``valid`` gives it each hospital's.
        table: the validation set's rows.
        valid: the validation set, decoded.
    """

    run: RunDirectory
    round: int
    model: Network
    table: ChexpertTable
    valid: ValidationSet

    @classmethod
    def open(cls, root: Path, round_number: int | None = None) -> ReleasedModel:
        """Load the last released model of the run at ``root``, or the model that a round released.

        Raises:
            StoreError: there is no run, or no such model, or its file is another.
            ConfigError: the run has no validation set here, or no longer that round's normalisation.
        """
        run = RunDirectory.open(root)
        config = run.config
        if round_number is None:
            round_number = run.last_round
        path = run.model(round_number)
        if not path.is_file():
            raise StoreError(f"{path}: no such model; has the run begun? See store.keep_models, too.")
        evaluator = make_evaluator(run)
        if evaluator is None:
            raise ConfigError(
                f"{root}: no validation set at data.root = {config.data.root!r}, data.valid_csv = "
                f"{config.data.valid_csv!r}: nothing to score the model on."
            )
        if round_number != run.last_round and not config.model.normalisation.one_model:
            raise ConfigError(
                f"round (--round) {round_number}: model.norm = '{config.model.norm}', and hospitals keep the "
                f"normalisation of the last round only, {run.last_round}."
            )
        model = build_model(config.model)
        layout = load_released(path, model, config, frozen=run.frozen_path)
        check_record(run, round_number, layout.flatten(model.state_dict()), layout)
        return cls(run, round_number, model, evaluator.table, evaluator.released)


def check_record(run: RunDirectory, round_number: int, vector: Vector, layout: Layout) -> None:
    """Hold a round's model against the digest in its line, and the frozen tensors against the layout.

    Raises:
        StoreError: the file is another model, or the frozen tensors are others.
    """
    if layout.frozen and run.read_layout() != layout:
        raise StoreError(
            f"{run.frozen_path}: not the tensors that this run was founded on; restore the file."
        )
    for line in read_rounds(run):
        if line.round == round_number:
            check_digest(
                run.model(round_number),
                vector,
                line.model,
                record=f"round {round_number} released",
                advice="`fedcxr audit` says more.",
                error=StoreError,
            )


def report_last(run: RunDirectory) -> Path | None:
    """Write the report of the last released model and return its path; None without a validation set.

    Raises:
        StoreError: its file is another, or the report cannot be written.
    """
    try:
        found = ReleasedModel.open(run.root)
        return write_report(run, found.model, found.table, found.valid, round_number=found.round)
    except (ConfigError, DataError):  # no validation set, or one that shows nothing: the run is whole without
        return None
