"""Where the ledger of a run is read. Nothing here imports web3, so that `fedcxr ledger` answers fast."""

from __future__ import annotations

from fedcxr.errors import LedgerError
from fedcxr.indexer.location import ChainLocation
from fedcxr.store.run_directory import RunDirectory


def location_of_run(run: RunDirectory, contract: str = "") -> ChainLocation:
    """The location of a run's contract: its endpoint while the run goes on, and the files of its chain.

    Args:
        run: a run whose federation is founded.
        contract: on that chain; by default the run's own.

    Raises:
        LedgerError: the federation is not founded yet, or the run keeps no ledger.
        UntrustedRunError: the run names an endpoint elsewhere, and is not trusted.
    """
    if not run.founded:
        raise LedgerError(f"{run.root}: its federation is not founded yet (ledger.json is missing).")
    facts = run.read_facts()
    if not facts.contract:
        raise LedgerError(f"{run.root}: this run has no ledger (ledger.backend = 'off').")
    # An embedded chain needs no word of the configuration, whose import is a third of a second.
    settings = None if run.chain_path.exists() else run.ledger_settings
    return ChainLocation(
        contract or facts.contract,
        url=settings.endpoint if settings is not None and settings.url else "",
        chain_id=facts.chain_id,
        genesis=facts.genesis,
        file=run.chain_path,
        journal=run.journal_path,
        anvil=settings.anvil if settings is not None else "",
        endpoint=run.endpoint_path,
        loopback=not run.trusted,
    )
