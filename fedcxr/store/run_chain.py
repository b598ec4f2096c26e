"""The chain of a run that is not going on, to write to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fedcxr.chain.backends import Chain, open_chain
from fedcxr.chain.web3_errors import translated
from fedcxr.errors import ChainError, ConfigError
from fedcxr.store.run_directory import RunDirectory


@contextlib.contextmanager
def chain_of_run(run: RunDirectory) -> Iterator[Chain]:
    """Open the chain of a run that is not going on; a chain behind an endpoint may be opened at any time.

    Raises:
        ConfigError: the run keeps no ledger.
        UntrustedRunError: the run names an endpoint elsewhere, and is not trusted.
        ChainError: the chain is missing, damaged, in use, out of reach, or another than the run's.
        StoreError: its federation was never founded.
    """
    config = run.config
    if config.ledger.backend == "off":
        raise ConfigError(f"{run.root} keeps no ledger (ledger.backend = 'off').")
    chain = open_chain(run.ledger_settings, embedded=run.chain_path, journal=run.journal_path)
    with contextlib.closing(chain):
        check_genesis(run, chain)
        yield chain


def check_genesis(run: RunDirectory, chain: Chain) -> None:
    """Check that a chain is the one that the run was founded on.

    Raises:
        ChainError: it was begun anew since.
    """
    founded_on, found = run.read_facts().genesis, translated(chain.w3.genesis)
    if founded_on not in ("", found):
        raise ChainError(
            f"the chain was begun anew: its first block is {found}, but this run is on one that begins with "
            f"{founded_on} ({run.root / 'ledger.json'}). Bring that chain back, or begin a new run."
        )
