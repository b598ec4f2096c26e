"""A bar on standard error for whatever reports ``progress(done, total)``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(description: str, unit: str = "images") -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the block runs; it appears with the first report, and gives the rate and time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(description, total=None, visible=False, rate="")

        def report(done: int, total: int) -> None:
            speed = shown.tasks[task].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            shown.update(task, completed=done, total=total, visible=True, rate=rate)

        yield report
