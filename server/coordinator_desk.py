"""What a coordinator does on its ledger outside of rounds: members, and whatever is brought to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fedcxr.errors import ConfigError
from fedcxr.ledger.backends import open_chain
from fedcxr.ledger.contract import FederationLedger
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from server.opening import check_genesis


@contextlib.contextmanager
def writing_ledger(run: RunDirectory, *others: str) -> Iterator[FederationLedger]:
    """The contract of a run that is not going on, to write to as its coordinator.

    Args:
        run: the run.
        others: accounts that will write, too; on a chain of this machine they are given what gas costs.

    Raises:
        ConfigError: the run keeps no ledger.
        ChainError: the chain is missing, damaged, in use or out of reach.
        StoreError: its federation was never founded, or its coordinator's keys are not here.
    """
    config = run.config
    if config.ledger.backend == "off":
        raise ConfigError(f"{run.root} keeps no ledger (ledger.backend = 'off').")
    chain = open_chain(config.ledger, embedded=run.chain_path, journal=run.journal_path)
    with contextlib.closing(chain):
        check_genesis(run, chain)
        account = Identity.load(run.keys / "coordinator.json").account
        for address in (account.address, *others):
            chain.fund(address)
        yield FederationLedger.attach(chain.w3, run.read_facts().contract, account)
