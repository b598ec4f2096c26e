"""Whoever goes to the court: from a run's directory, or with an endpoint and an account of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from eth_account.signers.local import LocalAccount

from fedcxr.chain.backends import RemoteChain
from fedcxr.chain.endpoint import Connection
from fedcxr.ledger.court import DisputeCourt
from fedcxr.ledger.views import FederationViews
from fedcxr.store.run_chain import chain_of_run
from fedcxr.store.run_directory import RunDirectory


@dataclass(frozen=True)
class Case:
    """A federation's contract to read, and its court to write to.

    Attributes:
        ledger: the contract.
        court: the court, as the challenger.
    """

    ledger: FederationViews
    court: DisputeCourt

    @classmethod
    def on(cls, w3: Connection, contract: str, account: LocalAccount) -> Case:
        """The case of a contract on a chain.

        Raises:
            LedgerError: there is no contract at this address.
        """
        ledger = FederationViews.attach(w3, contract)
        return cls(ledger, DisputeCourt(w3, ledger.court, account))


@contextlib.contextmanager
def case_of_run(run: RunDirectory, account: LocalAccount) -> Iterator[Case]:
    """In the directory of a run that is not going on; where ether is worth nothing, gas is seen to.

    Raises:
        ConfigError: the run keeps no ledger.
        ChainError: the chain is missing, damaged, in use or out of reach; or the account cannot pay.
        StoreError: its federation was never founded.
    """
    with chain_of_run(run) as chain:
        chain.fund(account.address)
        yield Case.on(chain.w3, run.read_facts().contract, account)


def case_at(url: str, contract: str, account: LocalAccount) -> Case:
    """At an endpoint, as a third party.

    Raises:
        ChainError: nothing answers there, or the account has no ether for gas.
        LedgerError: there is no contract at this address.
    """
    chain = RemoteChain.for_stranger(url)
    chain.fund(account.address)
    return Case.on(chain.w3, contract, account)
