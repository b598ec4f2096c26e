"""``fedcxr ledger challenge``: hold a round's aggregate to the sum, before the contract."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.ledger import commands


@commands.command()
def challenge(
    run: Annotated[Path, typer.Argument(help="The run directory, with its store; it must not be going on.")],
    number: Annotated[int, typer.Argument(metavar="ROUND", min=1)],
    leaf: Annotated[
        int | None, typer.Option(min=0, help="Which 4,096-byte chunk; by default the first that is wrong.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Key file of the challenger, who earns half of the bond.")
    ] = None,
) -> None:
    """Show the contract that an open round's aggregate is not the sum of its updates.

    Without a wrong chunk nothing is sent. The contract adds the chunk itself, and slashes the coordinator's
    bond when the aggregate's is another.
    """
    from fedcxr.audit.challenge import prepare_challenge, wrong_leaf
    from fedcxr.ledger.court import DisputeCourt
    from fedcxr.store.identity import Identity
    from fedcxr.store.run_directory import RunDirectory
    from server.coordinator_desk import writing_ledger

    directory = RunDirectory.open(run)
    challenger = Identity.load(key or directory.keys / "auditor.json").account
    with writing_ledger(directory, challenger.address) as ledger:
        store = directory.blob_store()
        found = wrong_leaf(ledger, store, number) if leaf is None else leaf
        if found is None:
            typer.echo(f"round {number}: every chunk of the aggregate is the sum of the updates'")
            return
        court = DisputeCourt(ledger.w3, ledger.court, challenger)
        court.challenge(*prepare_challenge(ledger, store, number, found))
        earned = court.withdrawable(challenger.address)
    typer.echo(
        f"round {number}: the contract has added chunk {found} and found the aggregate wrong; "
        f"{challenger.address} may withdraw {earned:,} wei"
    )
