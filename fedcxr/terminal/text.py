"""Text of others as one line, and lines without colours."""

from __future__ import annotations

import re

# Printable by Unicode's categories, and all the same nothing is seen: fillers, blanks, variation selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def one_line(text: str) -> str:
    r"""The text as one line in which every character is seen.

    Letters, marks and symbols of all languages stay. Control characters, ends of lines, paragraphs and
    columns, marks of direction, characters of no width, spaces other than the usual one and lone surrogates
    stand as escapes: ``\x1b``, ``\n``, ``\u202e``.
    """
    if text.isprintable() and (text.isascii() or not _UNSEEN.search(text)):
        return text
    return "".join(c if _is_seen(c) else c.encode("unicode_escape").decode() for c in text)


def lines_of(text: str) -> str:
    """Text whose ends of lines are ours: every line of it by :func:`one_line`."""
    return "\n".join(map(one_line, text.split("\n")))


def say(text: str, *, err: bool = False) -> None:
    """Print one line, on standard error if asked."""
    import click

    click.echo(one_line(text), err=err)


def say_json(text: str) -> None:
    r"""Print JSON; what a terminal could obey in it stands as ``\u009b``, which JSON reads the same.

    JSON needs no escapes for DEL, for C1 controls and for marks of direction.
    """
    import click

    click.echo("".join(c if _is_seen(c) or c == "\n" else _in_json(c) for c in text.rstrip("\n")))


def _is_seen(character: str) -> bool:
    return character.isprintable() and not _UNSEEN.match(character)


def _in_json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
