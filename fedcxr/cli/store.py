"""``fedcxr store``: clean up the blob store of a run."""

from typing import Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import RunPath

store_app = typer.Typer(help="Clean up the blob store of a run.", no_args_is_help=True)
app.add_typer(store_app, name="store")


@store_app.callback()
def store() -> None:
    """Clean up the blob store of a run."""


@store_app.command("gc")
def collect(
    run: RunPath,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")
    ] = False,
    before: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="ROUND",
            help="Remove also the updates of finalized rounds before this one, where nobody can dispute them "
            "any more. Nobody can recompute the models of these rounds then.",
        ),
    ] = 1,
    alone: Annotated[
        bool,
        typer.Option(
            "--alone",
            help="State that no other run keeps blobs in store.url, so that what this ledger does not name "
            "may be removed.",
        ),
    ] = False,
) -> None:
    """Remove the blobs that a crash or an aborted round left, and none that the ledger needs.

    Stop the run first.
    """
    from collections import Counter

    from fedcxr.report.tables import count
    from fedcxr.run.ledger_access import reading_ledger
    from fedcxr.store import garbage
    from fedcxr.store.run_directory import RunDirectory
    from fedcxr.terminal.console import Console

    directory = RunDirectory.open(run, trusted=True)
    blobs = directory.blob_store()
    console = Console()
    with reading_ledger(directory) as ledger:
        attempts = garbage.read_attempts(ledger, blobs)
        waste = garbage.find_waste(
            directory,
            blobs,
            attempts,
            before=before,
            alone=alone or not directory.config.store.url,
            needed=lambda number: garbage.disputable(ledger, number),
        )
        pinned = [n for n in attempts.kept if n < before and garbage.disputable(ledger, n)]
        for thing in waste:
            console.say(f"{thing.name}  {thing.size:,} bytes, {thing.why}")
            if not dry_run:
                garbage.remove(directory, blobs, thing)
    if pinned:
        said = f"{count(len(pinned), 'round')} before {before} can still be disputed: kept."
        console.say((said, "yellow"))
    if attempts.current:
        console.say(("a round is open: blobs that the ledger does not name yet are kept.", "yellow"))
    by_why = Counter(thing.why for thing in waste)
    told = "; ".join(f"{number} {why}" for why, number in sorted(by_why.items()))
    verb = "would be removed" if dry_run else "removed"
    console.say(f"{sum(t.size for t in waste):,} bytes {verb}" + (f": {told}" if told else ""))
