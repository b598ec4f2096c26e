"""What a person sees while a federation runs: rounds, hospitals, images/s, accepted and rejected, AUROC."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from fedcxr.evaluation.scores import Evaluation
from fedcxr.report.tables import count
from server.events import (
    Event,
    FederationStarted,
    HospitalAnswered,
    NotRegistered,
    RoundFinalized,
    RoundOpened,
)

WAITED_SHARE = 0.02  # of a hospital's training: a loader that takes more is too slow
WAITED_SECONDS = 1.0  # less may be the first batch alone, for which every training waits


class Console:
    """An observer that draws progress bars and prints one line for each hospital and round."""

    def __init__(self, console: RichConsole | None = None) -> None:
        self._console = console or RichConsole(highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_interactive,  # a file would get its empty line alone
        )
        self._tasks: dict[str, TaskID] = {}
        self._names: dict[str, str] = {}
        self._rounds = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def progress(self, what: str, done: int, total: int) -> None:
        """Show how far a preparation is."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)
        if done >= total:
            self._progress.remove_task(self._tasks.pop(what))

    def __call__(self, event: Event) -> None:
        """Show one event of the engine."""
        match event:
            case NotRegistered():
                said = f"[red]✗[/] node {event.node} was not registered: {escape(event.reason)}"
                self._console.print(said, soft_wrap=True)
            case FederationStarted():
                self._started(event)
            case RoundOpened():
                self.progress(f"round {event.round}/{self._rounds}", 0, len(event.weights))
            case HospitalAnswered():
                self._answered(event)
            case RoundFinalized():
                self._finalized(event)

    def _started(self, event: FederationStarted) -> None:
        self._names, self._rounds = dict(event.hospitals), event.rounds
        table = Table("hospital", "address", "images", title="registered on the ledger", title_justify="left")
        for address, name in event.hospitals.items():
            table.add_row(escape(name), address, f"{event.samples[address]:,}")
        self._console.print(table)
        if event.first_round > event.rounds:
            self._console.print("all rounds are finalized already")
        elif event.first_round > 1:
            self._console.print(f"continuing after round {event.first_round - 1}")

    def _answered(self, event: HospitalAnswered) -> None:
        name = escape(self._names.get(event.hospital, event.hospital))
        if task := self._tasks.get(f"round {event.round}/{self._rounds}"):
            self._progress.advance(task)
        if event.reason:
            self._console.print(f"  [red]✗[/] {name}: {escape(event.reason)}", soft_wrap=True)
        elif event.metrics:
            metrics = event.metrics
            speed = metrics.images / metrics.seconds if metrics.seconds else 0.0
            said = f"{metrics.images:,} images, {speed:.0f} images/s, loss {metrics.loss:.3f}"
            saturated = (
                f", [yellow]{count(metrics.saturated, 'value')} saturated[/]" if metrics.saturated else ""
            )
            waited = _waited(event.waited or 0.0, metrics.seconds)
            self._console.print(f"  [green]✓[/] {name}: accepted; {said}{waited}{saturated}", soft_wrap=True)
        else:
            self._console.print(f"  [green]✓[/] {name}: accepted; its metrics are not at hand")

    def _finalized(self, event: RoundFinalized) -> None:
        if (task := self._tasks.pop(f"round {event.round}/{self._rounds}", None)) is not None:
            self._progress.remove_task(task)
        self._console.print(
            f"[bold]round {event.round}/{self._rounds}[/] {len(event.included)} updates in, "
            f"{event.seconds:.1f} s, model {event.model_digest.hex()[:16]}…{_auroc(event.evaluation)}",
            soft_wrap=True,
        )


def _waited(waited: float, seconds: float) -> str:
    """What share of its training a hospital's network waited for the loader, where that is worth a word."""
    share = waited / seconds if seconds else 0.0
    if waited < WAITED_SECONDS or share < WAITED_SHARE:
        return ""
    return f", [yellow]{100 * share:.0f} % of the time waiting for the loader[/]"


def _auroc(evaluation: Evaluation | None) -> str:
    if evaluation is None or evaluation.macro.value is None:
        return ""
    macro = evaluation.macro
    interval = f" [{macro.low:.3f}, {macro.high:.3f}]" if macro.low is not None else ""
    return f", mean AUROC [bold cyan]{macro.value:.3f}[/]{interval}"
