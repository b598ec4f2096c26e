"""``fedcxr ledger challenge``, ``dispute``, ``key``: challenge a round on chain.

From a run's directory, or as a third party: with an endpoint, the contract's address, the store, and a key.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.ledger import Contract, Rpc, commands
from fedcxr.cli.ledger_reading import StoreChoice, names_of, round_number, split_run
from fedcxr.cli.options import TrustRun
from fedcxr.terminal import say

if TYPE_CHECKING:
    from fedcxr.audit.disputes.case import Case
    from fedcxr.store.blobs import BlobStore

RoundOfRun = Annotated[
    list[str],
    typer.Argument(
        metavar="[RUN] ROUND",
        help="The run directory, with its store, and the round. Stop the run first, unless others keep its "
        "chain (ledger.url). Without a run, give --rpc, --contract, --store and --key.",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="The URL of the blob store; the default is the one in the run directory."
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The key file that signs and pays for gas. It is needed with --rpc; the default in a run "
        "directory is its keys/auditor.json.",
    ),
]


@commands.command()
def challenge(
    words: RoundOfRun,
    *,
    leaf: Annotated[
        int | None,
        typer.Option(min=0, help="Challenge this 4,096-byte chunk; the default is the first that is wrong."),
    ] = None,
    key: Key = None,
    rpc: Rpc = None,
    contract: Contract = None,
    store: Store = None,
    trust_run: TrustRun = False,
) -> None:
    """Challenge the aggregate of a round of open or masked updates on chain, at the cost of the bond.

    The command looks for a chunk of the aggregate that is not the sum of the updates' chunks, and sends
    nothing where there is none. The contract adds the chunk itself, and slashes the coordinator's bond when
    its sum is another. Of masked updates it adds a single word, and takes the masks off by the published
    seeds; many hospitals take several transactions.

    In a run's directory give RUN ROUND: its keys/auditor.json signs, unless --key names another file. As a
    third party, without a run, give ROUND with --rpc, --contract, --store and --key, whose account pays for
    gas.
    """
    from fedcxr.audit.disputes.challenge import find_challenge
    from fedcxr.errors import StoreError
    from fedcxr.store.pruned import pruned_rounds

    run, (word,) = split_run(words, rpc, "ROUND")
    number = round_number(word)
    if run is not None and store is None and number in pruned_rounds(run):
        raise StoreError(
            f"round {number}: pruned.json says that its updates were removed, and a challenge shows them.",
            advice="A copy of the store with these updates can still be named (--store).",
        )
    with _Desk(run, rpc, contract, store, key, trust_run).opened() as (case, blobs):
        found = find_challenge(case.ledger, blobs, number, leaf)
        if found is None:
            say(f"round {number}: every chunk of the aggregate is the sum of the updates'")
            return
        stake = case.court.bond
        added = found.bring(case.court)
        say(f"round {number}: the contract has added {added} and found the aggregate wrong")
        _tell_lost(stake)


@commands.command()
def dispute(
    words: RoundOfRun,
    *,
    hospital: Annotated[
        str | None,
        typer.Option(
            metavar="HOSPITAL",
            help="Dispute the place of this hospital, by address or name in the run; the default is the "
            "first wrong one.",
        ),
    ] = None,
    key: Key = None,
    rpc: Rpc = None,
    contract: Contract = None,
    store: Store = None,
    trust_run: TrustRun = False,
) -> None:
    """Dispute the one root of a round on chain, at the cost of the coordinator's bond.

    The command is for federations that record one root a round (ledger.recording = "root"). It looks under
    the root for a forged submission, or for an included hospital without one, and sends nothing where it
    finds neither. The contract judges the submission itself, and slashes the coordinator's bond.

    In a run's directory give RUN ROUND: its keys/auditor.json signs, unless --key names another file. As a
    third party, without a run, give ROUND with --rpc, --contract, --store and --key, whose account pays for
    gas.
    """
    from fedcxr.audit.disputes.dispute import find_dispute, prepare_dispute

    run, (word,) = split_run(words, rpc, "ROUND")
    number = round_number(word)
    with _Desk(run, rpc, contract, store, key, trust_run).opened() as (case, blobs):
        if hospital is None:
            found = find_dispute(case.ledger, blobs, number)
        else:
            found = prepare_dispute(case.ledger, blobs, number, _address(run, hospital))
        if found is None:
            say(f"round {number}: all under its root is good, and no included hospital lacks there")
            return
        stake = case.court.bond
        found.bring(case.court)
        what = "its submission is none" if found.submission else "it is included without a submission"
        say(f"round {number}: the contract has looked at seat {found.seat}: {what}")
        _tell_lost(stake)


@commands.command("key")
def make_key(file: Annotated[Path, typer.Argument(help="The key file to write.")]) -> None:
    """Make a key file with which a third party challenges or disputes, and print its address.

    FILE must not exist yet; --key of the other commands names it. Where gas costs something, send ether to
    the address first.
    """
    from fedcxr.errors import StoreError
    from fedcxr.store.identity import Identity

    if file.exists():
        raise StoreError(f"{file}: is there already; keys are not written over others.")
    identity = Identity.fresh("X25519")
    identity.write(file)
    say(f"{file}: keys of {identity.account.address}")


@dataclass(frozen=True)
class _Desk:
    """Where the contract is, and who goes there: from the options."""

    run: Path | None
    rpc: str | None
    contract: str | None
    store: str | None
    key: Path | None
    trust_run: bool

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[Case, BlobStore]]:
        """The case, and the store with what has to be shown."""
        if self.rpc and not self.store:
            raise typer.BadParameter("--rpc wants --store URL: what the round added up is there.")
        blobs = StoreChoice(self.run, self.store, self.trust_run).open()
        with self.case() as case:
            assert blobs is not None  # case() has said that a run or an endpoint is needed
            yield case, blobs

    @contextlib.contextmanager
    def case(self) -> Iterator[Case]:
        """The case alone.

        Raises:
            ConfigError: no key, or none in the run.
            ChainError, LedgerError, StoreError: as they say.
        """
        from fedcxr.audit.disputes.case import case_at, case_of_run
        from fedcxr.errors import ConfigError
        from fedcxr.store.identity import Identity
        from fedcxr.store.run_directory import RunDirectory

        if (self.run is None) == (self.rpc is None):
            raise typer.BadParameter("name a run directory, or --rpc URL and --contract ADDRESS.")
        if (self.rpc is None) != (self.contract is None):
            raise typer.BadParameter("--rpc URL and --contract ADDRESS go together.")
        directory = None if self.run is None else RunDirectory.open(self.run, trusted=self.trust_run)
        key = self.key or (directory.keys / "auditor.json" if directory else None)
        if key is None or not key.exists():
            raise ConfigError(
                f"{key or 'without a run directory'}: no keys to sign and pay with: --key FILE names them."
            )
        account = Identity.load(key).account
        if directory is not None:
            with case_of_run(directory, account) as case:
                yield case
        else:
            yield case_at(self.rpc or "", self.contract or "", account)


def _address(run: Path | None, hospital: str) -> str:
    """The address of a name in the run; what is no name there is an address."""
    from fedcxr.ledger.views import checked_address

    named = {name: address for address, name in names_of(run).by_address.items()}
    return checked_address(named.get(hospital, hospital))


def _tell_lost(wei: int) -> None:
    say(f"the coordinator has lost its bond of {wei:,} wei")
