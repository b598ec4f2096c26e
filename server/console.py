"""What a person sees while a federation runs: rounds, hospitals and their speed, what was accepted, AUROC."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeElapsedColumn
from rich.table import Table

from fedcxr.evaluation.scores import Evaluation
from fedcxr.report.tables import count
from fedcxr.terminal import console as terminal
from fedcxr.terminal import one_line
from server.event_log import in_shares
from server.events import (
    Event,
    FederationStarted,
    HospitalAnswered,
    NotRegistered,
    RoundFinalized,
    RoundOpened,
    UnmaskingWaits,
)

WAITED_SHARE = 0.02  # of a hospital's training: a loader that takes more is too slow
WAITED_SECONDS = 1.0  # less may be the first batch alone, for which every training waits


class Console:
    """An observer that draws progress bars and prints one line for each hospital and round."""

    def __init__(self, console: terminal.Console | None = None) -> None:
        self._console = console or terminal.Console()
        self._progress = Progress(
            terminal.described(),
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
            self._tasks[what] = self._progress.add_task(one_line(what), total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)
        if done >= total:
            self._progress.remove_task(self._tasks.pop(what))

    def __call__(self, event: Event) -> None:
        """Show one event of the engine."""
        match event:
            case NotRegistered():
                self._console.say(("✗", "red"), f" node {event.node} was not registered: {event.reason}")
            case FederationStarted():
                self._started(event)
            case RoundOpened():
                self.progress(f"round {event.round}/{self._rounds}", 0, len(event.weights))
            case HospitalAnswered():
                self._answered(event)
            case UnmaskingWaits():
                names = ", ".join(self._names.get(address, address) for address in event.hospitals)
                self._console.say(("  … ", "yellow"), f"the sum is masked still: waiting for {names}")
            case RoundFinalized():
                self._finalized(event)

    def _started(self, event: FederationStarted) -> None:
        self._names, self._rounds = dict(event.hospitals), event.rounds
        table = Table("hospital", "address", "images", title="registered on the ledger", title_justify="left")
        for address, name in event.hospitals.items():
            table.add_row(terminal.Hanging(name), address, f"{event.samples[address]:,}")
        self._console.print(table)
        if event.first_round > event.rounds:
            self._console.say("all rounds are finalized already")
        elif event.first_round > 1:
            self._console.say(f"continuing after round {event.first_round - 1}")

    def _answered(self, event: HospitalAnswered) -> None:
        name = self._names.get(event.hospital, event.hospital)
        if task := self._tasks.get(f"round {event.round}/{self._rounds}"):
            self._progress.advance(task)
        if event.reason:
            self._console.say(("  ✗ ", "red"), f"{name}: {event.reason}")
        elif event.metrics:
            metrics = event.metrics
            speed = metrics.passes / metrics.seconds if metrics.seconds else 0.0
            said = f"{metrics.images:,} images, {speed:.0f} passes/s"
            said += f", loss {metrics.loss:.3f}" if metrics.loss is not None else ""
            said += _spent(metrics.privacy) if metrics.privacy is not None else ""
            warnings = [_waited(event.waited or 0.0, metrics.seconds)]
            warnings += [f"{count(metrics.saturated, 'value')} saturated"] if metrics.saturated else []
            warned = (part for warning in warnings if warning for part in (", ", (warning, "yellow")))
            self._console.say(("  ✓ ", "green"), f"{name}: accepted; {said}", *warned)
        else:
            self._console.say(("  ✓ ", "green"), f"{name}: accepted; its metrics are not at hand")

    def _finalized(self, event: RoundFinalized) -> None:
        if (task := self._tasks.pop(f"round {event.round}/{self._rounds}", None)) is not None:
            self._progress.remove_task(task)
        self._console.say(
            (f"round {event.round}/{self._rounds}", "bold"),
            f" {len(event.included)} updates in, {event.seconds:.1f} s, "
            f"model {event.model_digest.hex()[:16]}…",
            *_auroc(event.evaluation),
        )
        if event.shares:
            self._console.say((f"  time: {in_shares(event.shares)}", "dim"))


def _spent(privacy: Mapping[str, float]) -> str:
    """What a hospital has spent so far, as it signed it."""
    return f", ε {privacy['epsilon']:.2f} at δ {privacy['delta']:.1e}"


def _waited(waited: float, seconds: float) -> str:
    """What share of its training a hospital's network waited for the loader, where that is worth a word."""
    share = waited / seconds if seconds else 0.0
    if waited < WAITED_SECONDS or share < WAITED_SHARE:
        return ""
    return f"{100 * share:.0f} % of the time waiting for the loader"


def _auroc(evaluation: Evaluation | None) -> tuple[str | tuple[str, str], ...]:
    if evaluation is None or evaluation.macro.value is None:
        return ()
    macro = evaluation.macro
    interval = f" [{macro.low:.3f}, {macro.high:.3f}]" if macro.low is not None else ""
    return ", mean AUROC ", (f"{macro.value:.3f}", "bold cyan"), interval
