"""A run's released model with the validation set that it is scored on, for whoever looks at it."""

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
from fedcxr.run.preparation import make_evaluator
from fedcxr.store.run_directory import RunDirectory
from fedcxr.training.shared_tensors import load_released
from fedcxr.update import model_file
from fedcxr.update.layout import Layout, Vector


@dataclass(frozen=True, eq=False)
class Released:
    """One released model of a run.

    Attributes:
        run: the run.
        round: the model's; 0 is where the federation started.
        model: with its weights, on the CPU; where hospitals have a normalisation of their own, without one,
            which ``valid`` gives it.
        table: the validation set's rows.
        valid: the same, decoded.
    """

    run: RunDirectory
    round: int
    model: Network
    table: ChexpertTable
    valid: ValidationSet

    @classmethod
    def open(cls, root: Path, number: int | None = None) -> Released:
        """The last model of the run at ``root``, or that of a round.

        Raises:
            StoreError: there is no run, or no such model, or its file is another.
            ConfigError: the run has no validation set here, or no longer that round's normalisation.
        """
        run = RunDirectory.open(root)
        config = run.config
        number = run.last_round if number is None else number
        path = run.model(number)
        if not path.is_file():
            raise StoreError(f"{path}: no such model; has the run begun? See store.keep_models, too.")
        evaluator = make_evaluator(run)
        if evaluator is None:
            raise ConfigError(
                f"{root}: no validation set at data.root = {config.data.root!r}, data.valid_csv = "
                f"{config.data.valid_csv!r}: nothing to score the model on."
            )
        if number != run.last_round and not config.model.normalisation.one_model:
            raise ConfigError(
                f"--round {number}: model.norm = '{config.model.norm}', and hospitals keep the normalisation "
                f"of the last round only, {run.last_round}."
            )
        model = build_model(config.model)
        layout = load_released(path, model, config, frozen=run.frozen_path)
        check_record(run, number, layout.flatten(model.state_dict()), layout)
        return cls(run, number, model, evaluator.table, evaluator.released)


def check_record(run: RunDirectory, number: int, vector: Vector, layout: Layout) -> None:
    """Hold a round's model against the digest on record, and what no round trains against the layout's.

    Raises:
        StoreError: the file is another model.
    """
    if layout.frozen and run.read_layout() != layout:
        raise StoreError(
            f"{run.frozen_path}: not the tensors that this run was founded on; restore the file."
        )
    found = model_file.vector_digest(vector).hex()
    for line in read_rounds(run):
        if line.round == number and line.model != found:
            raise StoreError(
                f"{run.model(number)} has digest {found}, but round {number} released {line.model}: "
                "`fedcxr audit` says more."
            )


def report_last(run: RunDirectory) -> Path | None:
    """The report of the last released model; None where there is nothing to score it on.

    Raises:
        StoreError: its file is another, or the report cannot be written.
    """
    try:
        found = Released.open(run.root)
        return write_report(run, found.model, found.table, found.valid, round_number=found.round)
    except (ConfigError, DataError):  # no validation set, or one that shows nothing: the run is whole without
        return None
