"""One table, two ways to show it: rich for a terminal, Markdown for a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
    from rich.table import Table as RichTable

    from fedcxr.evaluation.scores import Estimate

UNDEFINED = "undefined"
_TEXT = 32  # columns that a column of words is given before it wraps


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: one line.
        header: the columns' names; the first column is text and stands left, all others right.
        rows: as many cells as the header has.
        notes: what a reader must know to read the figures right; a line each.
        words: other columns that are text, by index: they stand left, and wrap.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    words: tuple[int, ...] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """For a terminal: as it stands where it fits; else intervals go under their figures, then columns
        that still have no place into tables of their own below, each with the first column.
        """
        from rich.text import Text

        width, inline = options.max_width, self._widths(stacked=False)
        stacked = sum(inline) + len(inline) > width
        groups = _groups(self._widths(stacked=True) if stacked else inline, width)
        for number, columns in enumerate(groups):
            yield self._part(columns, stacked=stacked, titled=number == 0)
        if self.notes:
            yield Text("\n".join(self.notes), style="table.caption")

    def _widths(self, *, stacked: bool) -> list[int]:
        """What each column needs; text wraps, and is asked for no more than a part of a terminal."""
        widths = []
        for index, cells in enumerate(zip(self.header, *self.rows, strict=True)):
            lines = [line for cell in cells for line in _lines(cell, stacked=stacked)]
            most = _TEXT if self._is_text(index) else max(map(len, lines))
            widths.append(min(most, max(map(len, lines))))
        return widths

    def _is_text(self, index: int) -> bool:
        return index == 0 or index in self.words

    def _part(self, columns: list[int], *, stacked: bool, titled: bool) -> RichTable:
        from rich.box import SIMPLE_HEAD
        from rich.markup import escape
        from rich.table import Table as RichTable

        shown = RichTable(
            title=escape(self.title) if titled else None,
            title_justify="left",
            box=SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for index in columns:
            text = self._is_text(index)
            justify: JustifyMethod = "left" if text else "right"
            shown.add_column(escape(self.header[index]), justify=justify, no_wrap=not text, overflow="fold")
        for row in self.rows:
            shown.add_row(*(escape("\n".join(_lines(row[index], stacked=stacked))) for index in columns))
        return shown

    def markdown(self) -> str:
        """As a Markdown pipe table under a bold title, ending in a newline."""
        rule = ("---", *("---:" for _ in self.header[1:]))
        lines = [f"**{_plain(self.title)}**", ""]
        lines += [f"| {' | '.join(map(_plain, row))} |" for row in (self.header, rule, *self.rows)]
        for note in self.notes:
            lines += ["", _plain(note)]
        return "\n".join(lines) + "\n"


def _lines(cell: str, *, stacked: bool) -> list[str]:
    """A cell's lines: where columns are many, an interval goes under its figure."""
    return cell.replace(" [", "\n[").split("\n") if stacked else [cell]


def _groups(widths: list[int], most: int) -> list[list[int]]:
    """The columns in as many tables as it takes, each beginning with the first; a space is after each."""
    groups, used = [[0]], widths[0] + 1
    for index in range(1, len(widths)):
        if used + widths[index] + 1 > most and len(groups[-1]) > 1:
            groups.append([0])
            used = widths[0] + 1
        groups[-1].append(index)
        used += widths[index] + 1
    return groups


def _plain(text: str) -> str:
    """Text in which nothing ends a cell or a line of Markdown."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def figure(estimate: Estimate, *, signed: bool = False) -> str:
    """A figure with its interval, ``0.713 [0.690, 0.735]``; ``undefined`` where it has no value."""
    if estimate.value is None:
        return UNDEFINED
    form = "+.3f" if signed else ".3f"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{form}}"
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def count(number: int, thing: str) -> str:
    """A number of things, with the plural's s: ``1 round``, ``3 rounds``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
