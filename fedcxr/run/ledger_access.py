"""The contract and the court of a run that is not going on, for whoever reads from them or writes to them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from eth_account.signers.local import LocalAccount

from fedcxr.chain.backends import Chain, open_chain
from fedcxr.errors import ChainError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.court import DisputeCourt
from fedcxr.ledger.views import FederationViews
from fedcxr.store.identity import Identity
from fedcxr.store.run_chain import chain_of_run, check_genesis
from fedcxr.store.run_directory import RunDirectory


@contextlib.contextmanager
def reading_ledger(run: RunDirectory) -> Iterator[FederationViews]:
    """The contract of a run that is not going on, to read from.

    Raises:
        ChainError: its chain is missing, damaged or in use.
        StoreError: nothing says which contract it is: the run's federation was never founded.
    """
    ledger = run.ledger_settings
    ours = "" if ledger.url else ledger.backend
    kept_in = {"embedded": run.chain_path, "anvil": run.journal_path}.get(ours)
    if kept_in is not None and not kept_in.is_file():
        raise ChainError(f"{kept_in}: missing; restore it from a copy, it is the run's checkpoint.")
    chain = open_chain(ledger, embedded=run.chain_path, journal=run.journal_path)
    with contextlib.closing(chain):
        check_genesis(run, chain)
        yield FederationViews.attach(chain.w3, run.read_facts().contract)


@contextlib.contextmanager
def writing_ledger(run: RunDirectory) -> Iterator[FederationLedger]:
    """The contract of a run that is not going on, to write to as its coordinator.

    Raises:
        ConfigError: the run keeps no ledger.
        ChainError: the chain is missing, damaged, in use or out of reach.
        StoreError: its federation was never founded, or its coordinator's keys are not here.
    """
    with _coordinators_chain(run) as (chain, account):
        yield FederationLedger.attach(chain.w3, run.read_facts().contract, account)


@contextlib.contextmanager
def writing_court(run: RunDirectory) -> Iterator[DisputeCourt]:
    """The court of a run that is not going on, to write to as its coordinator.

    Raises:
        ConfigError, ChainError, StoreError: as :func:`writing_ledger`.
    """
    with _coordinators_chain(run) as (chain, account):
        ledger = FederationViews.attach(chain.w3, run.read_facts().contract)
        yield DisputeCourt(chain.w3, ledger.court, account)


@contextlib.contextmanager
def _coordinators_chain(run: RunDirectory) -> Iterator[tuple[Chain, LocalAccount]]:
    """The run's chain, and the coordinator's account, which holds what gas costs."""
    with chain_of_run(run) as chain:
        account = Identity.load(run.keys / "coordinator.json").account
        chain.fund(account.address)
        yield chain, account
