"""A console on which a text is only a text."""

from __future__ import annotations

import io

import pytest
from rich.progress import Progress
from rich.table import Table as RichTable
from rich.text import Text

from fedcxr.report.tables import Table
from fedcxr.terminal.console import Console, Hanging, described

WORDS = "[red]x[/] [link=http://192.0.2.7]y[/link] :bomb: \x1b[31m\x9b2J\u202e"
SHOWN = r"[red]x[/] [link=http://192.0.2.7]y[/link] :bomb: \x1b[31m\x9b2J\u202e"


def console(width: int = 200, *, colours: bool = True) -> Console:
    return Console(
        file=io.StringIO(), width=width, force_terminal=colours, color_system="standard" if colours else None
    )


def printed(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_a_line_has_our_colours_and_no_others() -> None:
    screen = console()
    screen.say(("✗", "red"), f" a\n✓ {WORDS}")
    assert printed(screen) == f"\x1b[31m✗\x1b[0m a\\n✓ {SHOWN}\n"


def test_a_line_is_not_folded() -> None:
    screen = console(width=20)
    screen.say("word " * 30)
    assert printed(screen).count("\n") == 1


@pytest.mark.parametrize("of", ["string", "text", "table", "cells"])
def test_whatever_is_printed_has_no_command_to_the_terminal(of: str) -> None:
    screen = console(colours=False)
    if of == "string":
        screen.print(f"{WORDS}\n")
    elif of == "text":
        screen.print(Text(WORDS))
    elif of == "table":
        screen.print(Table(WORDS, ("a", WORDS), ((WORDS, WORDS),), (WORDS,)))
    else:
        table = RichTable(WORDS, title=WORDS, caption=WORDS)
        table.add_row(WORDS)
        screen.print(table)
    said = printed(screen)
    assert said.replace("\n", "").isprintable()
    assert "[red]x[/]" in said
    assert ":bomb:" in said


def test_a_bars_description_is_only_a_text() -> None:
    screen = console(colours=False)
    with Progress(described(), console=screen) as progress:
        progress.add_task(WORDS)
    assert "[red]x[/]" in printed(screen)
    assert printed(screen).replace("\n", "").isprintable()


@pytest.mark.parametrize("width", [8, 20, 60])
def test_a_long_text_in_a_narrow_place_begins_no_line(width: int) -> None:
    screen = console(width, colours=False)
    screen.print(Hanging("north\n" + "✓ clean " * 12))
    first, *more = printed(screen).splitlines()
    assert first.startswith("north")
    assert more
    assert all(line.startswith("  ") for line in more)
    assert all(len(line) <= width for line in (first, *more))


def test_nor_does_a_cell_or_a_note_of_a_table() -> None:
    screen = console(50, colours=False)
    words = "north " + "✓ clean: 9 rounds; " * 5
    screen.print(Table("t", ("hospital", "n"), ((words, "1"),), (words,)))
    lines = [line for line in printed(screen).splitlines() if "clean" in line]
    assert len(lines) > 3
    assert all(line.startswith(("north", " north", "  ")) for line in lines)
