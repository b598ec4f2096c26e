"""Bars on standard error for whatever reports how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fedcxr.terminal import one_line

if TYPE_CHECKING:
    from rich.progress import TaskID


@contextmanager
def bars(unit: str = "images") -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each thing that ``progress(what, done, total)`` names, while the block runs.

    A bar appears with the first report of its thing, and gives the rate and the time left.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from fedcxr.terminal.console import Console, described

    columns = (
        described(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    shown = Progress(*columns, console=Console(stderr=True))
    tasks: dict[str, TaskID] = {}

    def report(what: str, done: int, total: int) -> None:
        if not tasks:
            shown.start()
        if what not in tasks:
            tasks[what] = shown.add_task(one_line(what), total=total, rate="")
        speed = shown.tasks[tasks[what]].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        shown.update(tasks[what], completed=done, total=total, rate=rate)

    try:
        yield report
    finally:
        if tasks:  # without, rich would write an empty line
            shown.stop()


@contextmanager
def bar(description: str, unit: str = "images") -> Iterator[Callable[[int, int], None]]:
    """Show one bar for whatever reports ``progress(done, total)`` while the block runs."""
    with bars(unit) as report:
        yield lambda done, total: report(description, done, total)
