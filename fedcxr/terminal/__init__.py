"""The one way to a person's terminal: what others wrote is one line there, and tells the terminal nothing.

Reasons, names, notes, errors and URLs come from ledgers, files and messages of strangers. Plain lines go
through :func:`say`, JSON through :func:`say_json`, and what has colours, tables or bars through
:class:`fedcxr.terminal.console.Console`, which alone imports rich. `tests/terminal/test_edge.py` finds
whoever prints otherwise.
"""

from fedcxr.terminal.text import lines_of, one_line, say, say_json

__all__ = ["lines_of", "one_line", "say", "say_json"]
