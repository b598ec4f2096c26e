"""Words that an adversary plants, and what a terminal may show of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

MARK = "PLANTED"
WORDS = (
    "so\nPLANTED\rPLANTED\x1b[2J\x1b]0;t\x07\x9b31m\x7f\u2028PLANTED\u2029\x85PLANTED\x0bPLANTED\t\u202e"
    "\u2066\u200b\u200f\u061c [red]x[/red] [/] [link=http://192.0.2.7]y[/link] :bomb: <img src=x> | `z $x$"
)
OURS = re.compile(r"\r?\x1b\[([0-9;]*m|\?25[lh]|\d*[AK])")  # colours, and a bar that is drawn anew
A = "0x" + "11" * 20


@dataclass(frozen=True)
class Shown:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


Show = Callable[..., Shown]


def check(text: str, *, coloured: bool = False) -> str:
    """No character of a text commands a terminal, and nothing planted begins a line."""
    if coloured:
        text = OURS.sub("", text)
    commands = {c for c in text if not c.isprintable() and c != "\n"}
    assert not commands, (commands, text)
    assert not [line for line in text.splitlines() if re.match(f" ?{MARK}", line)], text
    return text
