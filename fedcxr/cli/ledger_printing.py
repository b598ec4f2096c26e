"""How ``fedcxr ledger`` prints, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedcxr.terminal.console import Console


def tree_of(record: Any) -> dict[str, Any]:
    """A record's fields; what is in them, :func:`as_json_text` opens."""
    from dataclasses import fields

    return {field.name: getattr(record, field.name) for field in fields(record)}


def as_json_text(tree: Any) -> str:
    """JSON of records, bytes and sets in whatever holds them."""
    import json
    from dataclasses import is_dataclass

    def plain(value: Any) -> Any:
        if is_dataclass(value):
            return tree_of(value)
        return value.hex() if isinstance(value, bytes) else sorted(value)

    return json.dumps(tree, default=plain)


def console() -> Console:
    """For people."""
    from fedcxr.terminal.console import Console

    return Console()


def print_lines(screen: Console, lines: Sequence[tuple[str, str]]) -> None:
    """Names and values, one pair a line."""
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        screen.say((f"{name:<{width}}", "dim"), f"  {value}")
