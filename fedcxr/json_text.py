"""JSON from others, read without trusting its depth.

Python's parser recurses in C. py-evm raises the interpreter's recursion limit, so that a hundred thousand
opening brackets, which any hospital could send, would overflow the stack and end the process.
"""

from __future__ import annotations

import json
import re
from typing import Any

_DEEPEST = 32  # nested lists and objects; ours have five
_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]', re.DOTALL)


def parse(text: str | bytes) -> Any:
    """``json.loads``, for text that nests at most 32 deep.

    Raises:
        ValueError: not JSON, not UTF-8, or nested deeper.
    """
    if isinstance(text, bytes):
        text = text.decode()
    depth = 0
    for token in _TOKENS.finditer(text):  # a string is one token: what is in it opens and closes nothing
        first = text[token.start()]
        depth += (first in "[{") - (first in "]}")
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} deep")
    return json.loads(text)
