"""The location of a run's ledger, for those who read it."""

from __future__ import annotations

from fedcxr.errors import LedgerError
from fedcxr.indexer.location import Place
from fedcxr.store.run_directory import RunDirectory


def place_of_run(run: RunDirectory, contract: str = "") -> Place:
    """The location of a run's contract: on its endpoint while the run goes on, else in its files.

    Args:
        run: a run whose federation is founded.
        contract: on that chain; by default the run's own.

    Raises:
        LedgerError: the federation is not founded yet, or the run keeps no ledger.
    """
    if not run.founded:
        raise LedgerError(f"{run.root}: its federation is not founded yet (ledger.json is missing).")
    facts = run.read_facts()
    if not facts.contract:
        raise LedgerError(f"{run.root}: this run has no ledger (ledger.backend = 'off').")
    # An embedded chain needs no word of the configuration, whose import is a third of a second.
    settings = None if run.chain_path.exists() else run.config.ledger
    return Place(
        contract or facts.contract,
        url=settings.endpoint if settings is not None and settings.url else "",
        chain_id=facts.chain_id,
        genesis=facts.genesis,
        file=run.chain_path,
        journal=run.journal_path,
        anvil=settings.anvil if settings is not None else "",
        endpoint=run.endpoint_path,
        index=run.index_path,
    )
