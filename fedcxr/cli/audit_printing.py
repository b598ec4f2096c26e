"""What the audit's commands show: a bar, a report, and what became of an export."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedcxr.api.audit import Verification
    from fedcxr.audit.findings import AuditReport


class Bar:
    """A bar on standard error: blocks of a chain, then bytes of updates."""

    def __init__(self, *, hidden: bool) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        from fedcxr.terminal.console import Console, described

        columns = (described(), BarColumn(), TextColumn("{task.fields[shown]}"))
        console = Console(stderr=True)
        self._bar = Progress(
            *columns,
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=hidden or not console.is_interactive,
        )
        self._task = self._bar.add_task("auditing", total=None, shown="")

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def show(self, what: str, done: int, total: int) -> None:
        shown = f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB" if what == "bytes" else f"{done:,} of {total:,}"
        self._bar.update(self._task, description=f"auditing {what}", completed=done, total=total, shown=shown)


def print_report(report: AuditReport) -> None:
    """Findings, what could not be checked, notes, and the verdict."""
    from fedcxr.audit.findings import PARTIES, in_short
    from fedcxr.report.tables import count
    from fedcxr.terminal.console import Console

    console = Console()
    for finding in report.findings:
        console.say(("✗", "red"), f" {finding}")
    for unchecked in in_short(report.unchecked):
        console.say(("?", "yellow"), f" unchecked: {unchecked}")
    for note in report.notes:
        if note != PARTIES:
            console.say((f"· {note}", "dim"))
    if report.clean:
        rounds = count(report.rounds, "round")
        if report.unfinished:
            rounds = f"{report.rounds} of {count(report.planned, 'round')}"
        if report.complete:
            verdict, but = f"✓ clean{' so far' if report.unfinished else ''}", ""
        elif report.proven:
            verdict, but = "✓ the released model is proven", ", but for what is unchecked above"
        else:
            console.say(("nothing found, and the released model is not proven; see above", "yellow"))
            verdict, but = "", "looked at"
        console.say(
            (verdict, "green"),
            f"{but}: {rounds}, {count(report.updates, 'update')}, "
            f"{report.bytes / 1e6:,.0f} MB; released model {report.released or '(not recomputed)'}",
        )
    if PARTIES in report.notes:
        console.say((f"· not known: {PARTIES}", "dim"))


def print_verification(found: Verification) -> None:
    """What an export proves, what its signer states, and what of it does not hold."""
    from fedcxr.audit.findings import PARTIES, SUMS, in_short
    from fedcxr.terminal.console import Console

    console = Console()
    for mark, style, what, lines in (
        ("✗", "red", "", _found(found)),
        ("?", "yellow", "unchecked: ", _who_signed(found)),
        ("?", "yellow", "unchecked: ", in_short(found.unchecked)),
        ("✓", "green", "proven: ", [*found.proves, *found.conduct]),
        ("·", "dim", "stated: ", [*found.states, *([SUMS] if found.states else [])]),
        ("·", "dim", "", found.notes),
        ("·", "dim", "not known: ", [PARTIES] if found.states else []),
    ):
        for line in lines:
            console.say((mark, style), f" {what}{line}")


def _found(found: Verification) -> list[str]:
    """What does not fit, what the export shows by itself, and what else its signer reports."""
    reported = [line for finding in found.findings if (line := str(finding)) not in found.recomputed]
    return [*found.problems, *(f"by the export itself: {line}" for line in found.recomputed), *reported]


def _who_signed(found: Verification) -> list[str]:
    """What is to be said of an export whose signer the reader does not know."""
    if found.known_as or not found.authentic:
        return []
    if found.former:
        return [f"what {found.signer} states, who is no auditor of the federation any more: {found.former}"]
    return [f"who {found.signer} is, whose word all of this is: --signer or --head says whom you trust"]
