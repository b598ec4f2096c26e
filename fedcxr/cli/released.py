"""A run's released model with the validation set that it is scored on, for the commands that look at it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedcxr.data.chexpert import ChexpertTable
    from fedcxr.evaluation.validation_set import ValidationSet
    from fedcxr.models.network import Network
    from fedcxr.store.run_directory import RunDirectory


@dataclass(frozen=True, eq=False)
class Released:
    """One released model of a run.

    Attributes:
        run: the run.
        round: the model's; 0 is where the federation started.
        model: with its weights, on the CPU.
        table: the validation set's rows.
        valid: the same, decoded.
    """

    run: "RunDirectory"
    round: int
    model: "Network"
    table: "ChexpertTable"
    valid: "ValidationSet"

    @classmethod
    def open(cls, root: Path, number: int | None = None) -> "Released":
        """The last model of the run at ``root``, or that of a round.

        Raises:
            StoreError: there is no run, or no such model.
            ConfigError: the run has no validation set here.
        """
        from fedcxr.data.chexpert import read_table
        from fedcxr.errors import ConfigError, StoreError
        from fedcxr.models.registry import build_model
        from fedcxr.store.run_directory import RunDirectory
        from fedcxr.update import model_file
        from server.preparation import make_evaluator

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
        model = build_model(config.model)
        model_file.load(path, model)
        table = read_table(config.data.root_path / config.data.valid_csv, config.data.root_path)
        return cls(run, number, model, table, evaluator.valid)
