"""``fedcxr store``: clean up the blob store of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import RunPath

if TYPE_CHECKING:
    from fedcxr.store.run_directory import RunDirectory

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
            help="Remove also the updates of finalized rounds before this one, where nobody can challenge "
            "them any more. Nobody can recompute the models of these rounds then.",
        ),
    ] = 1,
    keep_proofs: Annotated[
        bool,
        typer.Option(
            "--keep-proofs",
            help="Remove the updates of a whole finished run, once an audit has recomputed its models; the "
            "audit's signed export is kept. Nobody can recompute the models after that.",
        ),
    ] = False,
    without_audit: Annotated[
        bool, typer.Option("--without-audit", help="With --keep-proofs: remove them without that audit.")
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(help="The key file that the audit reads with; the default is those in the run's keys/."),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            help="The key file that signs the audit; the default is the run's keys/auditor.json, or else "
            "keys/coordinator.json."
        ),
    ] = None,
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

    Stop the run first. The updates of finalized rounds go only where --before or --keep-proofs asks for it,
    and pruned.json then says so to every audit.
    """
    from fedcxr.cli.collection import Collection
    from fedcxr.store.run_directory import RunDirectory

    if without_audit and not keep_proofs:
        raise typer.BadParameter("it goes with --keep-proofs.", param_hint="--without-audit")
    if keep_proofs and before > 1:
        raise typer.BadParameter("it asks for all rounds: leave --before out.", param_hint="--keep-proofs")
    directory = RunDirectory.open(run, trusted=True)
    statement = _statement(directory, key, sign, dry_run, without_audit) if keep_proofs else ""
    Collection(directory, dry_run, alone).run(before=None if keep_proofs else before, statement=statement)


def _statement(
    run: RunDirectory, key: Path | None, sign: Path | None, dry_run: bool, without_audit: bool
) -> str:
    """The audit that a removal refers to: one made now, or the one that a removal was begun with.

    Raises:
        StoreError: the run keeps its updates, or an audit that was kept is not there any more.
        AuditFailedError, AuditIncompleteError: the audit that is made now does not prove the model.
    """
    from fedcxr.api.pruning import audited, pruned_of, require_prunable
    from fedcxr.cli.audit_printing import Bar
    from fedcxr.run.ledger_access import reading_ledger

    with reading_ledger(run) as ledger:
        require_prunable(run, ledger)
        begun = pruned_of(run, ledger)
    if begun.statement:
        begun.read_statement(run.root)
        return begun.statement
    if without_audit or dry_run:
        return ""
    with Bar(hidden=False) as bar:
        return audited(run, key, sign, bar.show)
