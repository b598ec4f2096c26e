"""JSON from others, read without trusting its depth, its length, or how much there is in it.

Python's parser recurses in C. py-evm raises the interpreter's recursion limit, so that a hundred thousand
opening brackets, which any hospital could send, would overflow the stack and end the process. And three
characters, ``{},``, become an object of a hundred bytes: what is counted before anything is made of it is
what a text would become, not only its characters.
"""

from __future__ import annotations

import json
import re
from typing import Any

LONGEST = 4 << 20
"""Bytes of a text where its reader knows no tighter bound; our longest, a layout, has some 200,000."""

_DEEPEST = 32  # nested lists and objects; ours have five
_DIGITS = 80  # of a whole number; Solidity's largest has 78
_VALUES = 1 << 20  # in one text; a hundred thousand blocks in an export have some 300,000
_CONTAINERS = 1 << 18  # lists and objects among them, the dearest
# Possessive: what a string has taken it does not give back, so that no text takes more than one pass. One
# that does not end takes the rest; the parser says so.
_TOKENS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)


def parse(text: str | bytes, longest: int = LONGEST) -> Any:
    """``json.loads``, for text that is bounded in every respect.

    Args:
        text: as it came.
        longest: bytes, or characters, that it may have.

    Raises:
        ValueError: not JSON, not UTF-8, longer, nested more than 32 deep, of more than a million values, or
            with a whole number of more than 80 digits.
    """
    if len(text) > longest:
        raise ValueError(f"{len(text):,} bytes, where at most {longest:,} are expected")
    if isinstance(text, bytes):
        text = text.decode()
    depth = 0
    for token in _TOKENS.finditer(text):  # a string is one token: what is in it opens and closes nothing
        first = text[token.start()]
        depth += (first in "[{") - (first in "]}")
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} deep")
    containers = text.count("[") + text.count("{")  # those in strings too: nothing of ours has many
    if containers > _CONTAINERS or text.count(",") + containers > _VALUES:
        raise ValueError("more values than any text of ours has")
    return json.loads(text, parse_int=_whole)


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)
