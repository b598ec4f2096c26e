"""The help of every command: a paragraph is one line, which the terminal wraps where it ends."""

from __future__ import annotations

import re

import click

_ITEM = re.compile(r"[-*] |\d+\. ")


def flow_help(command: click.Command) -> None:
    """Flow the help of a command, and of every command below it."""
    command.help = flowed(command.help or "") or None
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        flow_help(below)


def flowed(text: str) -> str:
    """The text with a line for each paragraph and each item of a list; blank lines stay."""
    lines: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if line and lines and lines[-1] and not _ITEM.match(line):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return "\n".join(lines)
