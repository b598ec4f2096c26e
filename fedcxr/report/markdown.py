"""Text of others in a page of Markdown: one line, no HTML, no picture from elsewhere."""

from __future__ import annotations

import re

from fedcxr.terminal import one_line

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#?\w+;)")


def words(text: str) -> str:
    """Text in which nothing ends a cell or a line, opens a tag, or shows a link or a picture."""
    shown = one_line(_TAG.sub("&lt;", _ENTITY.sub("&amp;", text.replace("\\", "\\\\"))))
    return shown.replace("|", "\\|").replace("](", "]\\(")


def code(text: str) -> str:
    """Text between backticks, which it cannot leave."""
    return f"`{one_line(text).replace('`', chr(39))}`"
