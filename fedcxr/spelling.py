"""What a misspelt name was meant to be: the nearest one that is known."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name that is most like a misspelt one; empty when none is like it."""
    from difflib import get_close_matches

    by_lower_case = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), by_lower_case, n=1)
    return by_lower_case[found[0]] if found else ""


def suggestion(word: str, known: Iterable[str]) -> str:
    """The sentence that names the nearest known name, with a space before it; empty when none is like it."""
    name = nearest(word, known)
    return f" Did you mean {name}?" if name else ""
