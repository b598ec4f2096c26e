"""What a coordinator does on its ledger outside of rounds: members, its bond, and what is brought to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from eth_account.signers.local import LocalAccount

from fedcxr.chain.backends import Chain
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.court import DisputeCourt
from fedcxr.ledger.views import FederationViews
from fedcxr.store.identity import Identity
from fedcxr.store.run_chain import chain_of_run
from fedcxr.store.run_directory import RunDirectory


@contextlib.contextmanager
def writing_ledger(run: RunDirectory) -> Iterator[FederationLedger]:
    """The contract of a run that is not going on, to write to as its coordinator.

    Raises:
        ConfigError: the run keeps no ledger.
        ChainError: the chain is missing, damaged, in use or out of reach.
        StoreError: its federation was never founded, or its coordinator's keys are not here.
    """
    with _desk(run) as (chain, account):
        yield FederationLedger.attach(chain.w3, run.read_facts().contract, account)


@contextlib.contextmanager
def writing_court(run: RunDirectory) -> Iterator[DisputeCourt]:
    """The court of a run that is not going on, to write to as its coordinator.

    Raises:
        ConfigError, ChainError, StoreError: as :func:`writing_ledger`.
    """
    with _desk(run) as (chain, account):
        ledger = FederationViews.attach(chain.w3, run.read_facts().contract)
        yield DisputeCourt(chain.w3, ledger.court, account)


@contextlib.contextmanager
def _desk(run: RunDirectory) -> Iterator[tuple[Chain, LocalAccount]]:
    """The run's chain, and the coordinator's account with what gas costs."""
    with chain_of_run(run) as chain:
        account = Identity.load(run.keys / "coordinator.json").account
        chain.fund(account.address)
        yield chain, account
