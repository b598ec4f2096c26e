"""One table, two ways to show it: rich for a terminal, Markdown for a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedcxr.report import markdown
from fedcxr.terminal import lines_of, one_line

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
    from rich.table import Table as RichTable

    from fedcxr.evaluation.scores import Estimate

UNDEFINED = "undefined"
_TEXT = 32  # columns that a column of words is given before it wraps


@dataclass(frozen=True)
class Table:
    """A table of texts, some of which others have written: each is one line, and in Markdown no HTML.

    Attributes:
        title: one line.
        header: the columns' names, of more lines where they are long; the first column is text and stands
            left, all others right.
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
        from fedcxr.terminal.console import Hanging

        width, inline = options.max_width, self._widths(stacked=False)
        stacked = sum(inline) + len(inline) > width
        groups = _groups(self._widths(stacked=True) if stacked else inline, width)
        for number, columns in enumerate(groups):
            yield self._part(columns, stacked=stacked, titled=number == 0)
        for note in self.notes:
            yield Hanging(note, style="table.caption")

    def _widths(self, *, stacked: bool) -> list[int]:
        """What each column needs; text wraps, and is asked for no more than a part of a terminal."""
        widths = []
        for index, (name, *cells) in enumerate(zip(self.header, *self.rows, strict=True)):
            text = self._is_text(index)
            lines = name.split("\n") if stacked else [name]
            lines += [line for cell in cells for line in _lines(cell, stacked=stacked and not text)]
            most = _TEXT if text else max(map(len, lines))
            widths.append(min(most, max(map(len, lines))))
        return widths

    def _is_text(self, index: int) -> bool:
        return index == 0 or index in self.words

    def _part(self, columns: list[int], *, stacked: bool, titled: bool) -> RichTable:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table as RichTable
        from rich.text import Text

        from fedcxr.terminal.console import Hanging

        shown = RichTable(
            title=Text(one_line(self.title), "table.title") if titled else None,
            title_justify="left",
            box=SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for index in columns:
            text = self._is_text(index)
            justify: JustifyMethod = "left" if text else "right"
            shown.add_column(
                Text(lines_of(self.header[index])), justify=justify, no_wrap=not text, overflow="fold"
            )
        for row in self.rows:
            cells = (
                _lines(row[index], stacked=stacked and not self._is_text(index)) for index in columns[1:]
            )
            shown.add_row(Hanging(row[0]), *(Text("\n".join(lines)) for lines in cells))
        return shown

    def markdown(self) -> str:
        """As a Markdown pipe table under a bold title, ending in a newline."""
        rule = ("---", *("---:" for _ in self.header[1:]))
        header = tuple(name.replace("\n", " ") for name in self.header)
        lines = [f"**{markdown.words(self.title)}**", ""]
        lines += [f"| {' | '.join(map(markdown.words, row))} |" for row in (header, rule, *self.rows)]
        for note in self.notes:
            lines += ["", markdown.words(note)]
        return "\n".join(lines) + "\n"


def _lines(cell: str, *, stacked: bool) -> list[str]:
    """A cell's lines: where columns are many, an interval goes under its figure."""
    shown = one_line(cell)
    return shown.replace(" [", "\n[").split("\n") if stacked else [shown]


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
