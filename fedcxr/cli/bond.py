"""``fedcxr ledger bond``: what the coordinator stands to lose."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.ledger import Contract, Rpc, Run, commands
from fedcxr.cli.ledger_printing import as_json_text, console, print_lines, tree_of
from fedcxr.cli.ledger_reading import ask, location_of
from fedcxr.cli.options import AsJson, TrustRun
from fedcxr.cli.run_group import USUAL, RunGroup, UsualCommand
from fedcxr.terminal import say, say_json

bond_app = typer.Typer(
    cls=RunGroup,
    help="Show the coordinator's bond (fedcxr ledger bond RUN), post it, or take it back.",
    no_args_is_help=True,
)
commands.add_typer(bond_app, name="bond")

OwnRun = Annotated[
    Path,
    typer.Argument(
        help="The coordinator's run directory, with its keys. Stop the run first, unless others keep its "
        "chain (ledger.url)."
    ),
]


@bond_app.command(USUAL, cls=UsualCommand)
def show(
    run: Run = None,
    rpc: Rpc = None,
    contract: Contract = None,
    trust_run: TrustRun = False,
    as_json: AsJson = False,
) -> None:
    """Show the bond: what is posted and needed, whether its release is announced, and what was slashed."""
    from fedcxr.indexer.bond import read_bond
    from fedcxr.report.ledger.bond import bond_lines, bond_table

    location, _ = location_of(run, rpc, contract, trust_run)
    bond, head = ask(location, lambda ledger: (read_bond(ledger.index), ledger.index.scanned))
    if as_json:
        say_json(as_json_text({**tree_of(bond), "pledged": bond.pledged, "lacking": bond.lacking}))
        return
    screen = console()
    print_lines(screen, bond_lines(bond, head.time if head else 0))
    if bond.changes:
        screen.print(bond_table(bond))


@bond_app.command()
def post(
    run: OwnRun,
    wei: Annotated[
        int | None,
        typer.Argument(min=0, help="The amount in wei; the default is what a round lacks to open."),
    ] = None,
) -> None:
    """Add to the bond from the coordinator's account, and pledge the whole of it again.

    After a slash the bond is 0: post it again, and the run goes on with the next start. Posting, even of 0
    wei, also withdraws the announcement of a release.

    Stop the run first, for it holds its chain, unless others keep that chain (ledger.url).
    """
    from fedcxr.run.ledger_access import writing_court
    from fedcxr.store.run_directory import RunDirectory

    with writing_court(RunDirectory.open(run, trusted=True)) as court:
        lacking = max(court.minimum_bond - court.bond, 0)
        if wei is None and not lacking and not court.release_at:
            say(f"nothing is lacking: the bond is {court.bond:,} wei")
            return
        court.post_bond(lacking if wei is None else wei)
        say(f"the bond is {court.bond:,} wei, and pledged")


@bond_app.command()
def announce(run: OwnRun) -> None:
    """Announce, between rounds, that the bond will be taken back.

    Where a bond is needed, no round opens from then on. The bond is free after the last round's dispute
    window.

    Stop the run first, for it holds its chain, unless others keep that chain (ledger.url).
    """
    from fedcxr.report.ledger.words import when
    from fedcxr.run.ledger_access import writing_court
    from fedcxr.store.run_directory import RunDirectory

    with writing_court(RunDirectory.open(run, trusted=True)) as court:
        court.announce_release()
        free = when(court.release_at)
    say(f"the release is announced; from {free} UTC on: fedcxr ledger bond release {run}")


@bond_app.command()
def release(run: OwnRun) -> None:
    """Take the bond back, once its release was announced and the dispute window is over.

    Stop the run first, for it holds its chain, unless others keep that chain (ledger.url).
    """
    from fedcxr.run.ledger_access import writing_court
    from fedcxr.store.run_directory import RunDirectory

    with writing_court(RunDirectory.open(run, trusted=True)) as court:
        amount = court.bond
        if not amount:
            say("nothing is posted: there is nothing to release")
            return
        court.release()
    say(f"{amount:,} wei are the coordinator's again")
