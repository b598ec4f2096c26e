"""``fedcxr audit``: verify a run from its ledger and store."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.app import app


@app.command()
def audit(
    run: Annotated[Path, typer.Argument(help="The run directory.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    key: Annotated[
        Path | None,
        typer.Option(help="Key file of the coordinator or auditor; by default those in the run's keys/."),
    ] = None,
    journal: Annotated[
        list[Path] | None,
        typer.Option(help="A hospital's journal.jsonl, to hold against the ledger; may be repeated."),
    ] = None,
) -> None:
    """Recompute a run from its ledger and store, and say what is not as it must be.

    Exit code 0 when the released model is proven, 90 when something was found, 91 when nothing was found but
    the released model could not be recomputed.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    from fedcxr.audit.audit import audit as run_audit
    from fedcxr.errors import AuditFailedError, AuditIncompleteError, FedcxrError
    from fedcxr.report.tables import count
    from fedcxr.store.identity import Identity
    from fedcxr.store.run_directory import RunDirectory

    directory = RunDirectory(run)
    keys, unreadable = [], []
    for path in [key] if key else [directory.keys / "auditor.json", directory.keys / "coordinator.json"]:
        if path.exists() or path == key:
            try:
                keys.append(Identity.load(path).envelope_key)
            except FedcxrError as error:
                if path == key:
                    raise
                unreadable.append(f"what {path} could open: {error}")
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as bar:
        task = bar.add_task("auditing", total=None)
        report = run_audit(
            directory,
            keys,
            journals=journal or (),
            progress=lambda what, done, total: bar.update(
                task, description=what, completed=done, total=total
            ),
        )
    report.unchecked += unreadable
    if as_json:
        typer.echo(report.to_json())
    else:
        console = Console(highlight=False, soft_wrap=True)
        for finding in report.findings:
            console.print(f"[red]✗[/] {escape(str(finding))}")
        for unchecked in report.unchecked:
            console.print(f"[yellow]?[/] unchecked: {escape(unchecked)}")
        for note in report.notes:
            console.print(f"[dim]· {escape(note)}[/]")
        if report.clean:
            verdict = "[green]✓ clean[/]" if report.complete else "[yellow]nothing found, but see above[/]"
            console.print(
                f"{verdict}: {count(report.rounds, 'round')}, {count(report.updates, 'update')}, "
                f"{report.bytes / 1e6:,.0f} MB; released model {report.released or '(not recomputed)'}"
            )
    if not report.clean:
        raise AuditFailedError(f"{run}: {count(len(report.findings), 'finding')}.")
    if not report.proven:
        raise AuditIncompleteError(f"{run}: nothing found, but the released model could not be recomputed.")
