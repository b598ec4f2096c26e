"""One table, two ways to show it: rich for a terminal, Markdown for a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import JustifyMethod
    from rich.table import Table as RichTable

    from fedcxr.evaluation.scores import Estimate

UNDEFINED = "undefined"


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: one line.
        header: the columns' names; the first column is text and stands left, all others right.
        rows: as many cells as the header has.
        notes: what a reader must know to read the figures right; a line each.
        essential: how many of the leading columns a terminal shows, which is 80 wide; None for all. A file
            has them all.
        words: other columns that are text, by index: they stand left, and wrap.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    essential: int | None = None
    words: tuple[int, ...] = ()

    def rich(self) -> RichTable:
        """For a terminal; where columns are many, an interval goes under its figure."""
        from rich.box import SIMPLE_HEAD
        from rich.markup import escape
        from rich.table import Table as RichTable

        notes = escape("\n".join(self.notes)) or None
        header = self.header[: self.essential]
        crowded = len(header) > 4
        shown = RichTable(
            title=escape(self.title),
            title_justify="left",
            caption=notes,
            caption_justify="left",
            box=SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for index, name in enumerate(header):
            text = index == 0 or index in self.words
            justify: JustifyMethod = "left" if text else "right"
            number = crowded and not text
            shown.add_column(escape(name), justify=justify, no_wrap=number, overflow="fold")
        for row in self.rows:
            cells = (cell.replace(" [", "\n[") if crowded else cell for cell in row[: self.essential])
            shown.add_row(*map(escape, cells))
        return shown

    def markdown(self) -> str:
        """As a Markdown pipe table under a bold title, ending in a newline."""
        rule = ("---", *("---:" for _ in self.header[1:]))
        lines = [f"**{_plain(self.title)}**", ""]
        lines += [f"| {' | '.join(map(_plain, row))} |" for row in (self.header, rule, *self.rows)]
        for note in self.notes:
            lines += ["", _plain(note)]
        return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text that does not end a cell or a line of Markdown."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def figure(estimate: Estimate, *, signed: bool = False) -> str:
    """``0.713 [0.690, 0.735]``; without an interval the value alone, and ``undefined`` without a value."""
    if estimate.value is None:
        return UNDEFINED
    form = "+.3f" if signed else ".3f"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{form}}"
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def count(number: int, thing: str) -> str:
    """``1 round``, ``3 rounds``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
