"""TOML from others: a run's ``config.toml`` is as foreign as the rest of a run that somebody sends.

The standard parser takes a time that grows with the square of a dotted key's parts, recurses, and makes whole
numbers of any length.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

LONGEST = 1 << 18
"""Bytes of a file; a whole configuration has some 6,000."""

_DEEPEST = 16  # tables and lists within each other; ours have four
_PART = r"""(?:"[^"\n]*+"|'[^'\n]*+'|[^\s.,=\[\]"']++)"""
_TEXT = r""""{3}.*?"{3}|'{3}.*?'{3}|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?|'[^'\n]*+'?|#[^\n]*+"""
# A text is one token, and so is a comment: what is in them opens and closes nothing.
_TOKENS = re.compile(_TEXT + r"|[\[{]|[\]}]", re.DOTALL)
_LONG_KEY = re.compile(rf"(?:^|(?<=[\s.,=\[\]]))(?:{_PART}[ \t]*+\.[ \t]*+){{{_DEEPEST}}}", re.MULTILINE)


def parse(text: str | bytes) -> dict[str, Any]:
    """``tomllib.loads``, for text that is bounded in every respect.

    Raises:
        ValueError: not TOML, not UTF-8, longer than 256 KiB, nested more than 16 deep, or with a whole number
            of more than 64 bits.
    """
    if len(text) > LONGEST:
        raise ValueError(f"{len(text):,} bytes, where at most {LONGEST:,} are expected")
    if isinstance(text, bytes):
        text = text.decode()
    if _LONG_KEY.search(text):
        raise ValueError(f"a key of more than {_DEEPEST} parts")
    depth = 0
    for token in _TOKENS.finditer(text):
        first = text[token.start()]
        depth += (first in "[{") - (first in "]}")
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} deep")
    tree = tomllib.loads(text)
    level: list[object] = [tree]
    for _ in range(_DEEPEST + 1):
        level = [inner for value in level for inner in _within(value)]
        if not level:
            return tree
    raise ValueError(f"nested more than {_DEEPEST} deep")


def _within(value: object) -> list[object]:
    """What a value holds, itself being no whole number of more than TOML's 64 bits."""
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a whole number of more than 64 bits")
    return value if isinstance(value, list) else []
