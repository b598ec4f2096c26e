"""How far a run has come: read from its ledger, and checked against its files before the run goes on."""

from __future__ import annotations

from dataclasses import dataclass

from fedcxr.config import Config
from fedcxr.errors import ConfigError, FederationError
from fedcxr.ledger.views import FederationViews
from fedcxr.models.registry import create_model
from fedcxr.run.ledger_access import reading_ledger
from fedcxr.run.model_files import RunModels
from fedcxr.store.run_directory import RunDirectory
from fedcxr.training.shared_tensors import federation_layout


@dataclass(frozen=True)
class RunProgress:
    """How many of its rounds a run has finalized, and what is left to do.

    Attributes:
        finalized: the last round that is final on the ledger; 0 before the first.
        rounds: that the configuration asks for.
        open_round: one that is open, and will be taken up with the updates it has; 0 when none is.
        recorded: whether every finalized round has its line in ``metrics.jsonl``, and the run its summary.
    """

    finalized: int
    rounds: int
    open_round: int
    recorded: bool

    @property
    def complete(self) -> bool:
        return self.finalized == self.rounds and self.recorded

    def __str__(self) -> str:
        if self.complete:
            return f"all {self.rounds} rounds are finalized, with their digests on the ledger"
        if self.finalized == 0:
            return f"none of {self.rounds} rounds is finalized yet; starting with round 1"
        taken_up = f", round {self.open_round} is open" if self.open_round else ""
        return (
            f"{self.finalized} of {self.rounds} rounds are finalized, with their digests on the ledger"
            f"{taken_up}; continuing after round {self.finalized}"
        )


def run_progress(run: RunDirectory) -> RunProgress:
    """Read how far a run has come, and check that it can go on from there.

    Raises:
        ConfigError: it has no ledger, and so no checkpoint.
        ChainError: its chain is missing, damaged or in use.
        FederationError: other code made it, or a model's file is not the ledger's.
        ModelError: a model's file is missing.
    """
    config = run.config
    if config.ledger.backend == "off":
        raise ConfigError(
            f"{run.root} keeps no ledger (ledger.backend = 'off'), and so has no checkpoint: begin it again."
        )
    rounds = config.federation.total_rounds
    if not run.founded:
        return RunProgress(0, rounds, 0, recorded=False)
    with reading_ledger(run) as ledger:
        _check_code(run, config, ledger)
        last, still_open = ledger.last_finalized, ledger.round_in_progress
        models = RunModels(run, ledger, run.read_layout())
        for round_number in range(max(0, last - 1), last + 1):  # what the next round is made from
            models.read(round_number)
    written = run.metrics.rounds
    recorded = written >= set(range(1, last + 1)) and run.summary_path.exists()
    return RunProgress(last, rounds, still_open, recorded)


def _check_code(run: RunDirectory, config: Config, ledger: FederationViews) -> None:
    difference = ledger.code_difference()
    if difference is None:
        model = create_model(config.model, seed=config.seed)
        if federation_layout(model, config) != run.read_layout():
            difference = "its model has other tensors"
    if difference is not None:
        raise FederationError(
            f"{run.root} was made by another version of fedcxr ({difference}); continue it with that one: "
            f"{run.log_path.name} names it."
        )
