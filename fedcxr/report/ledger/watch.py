"""One line for each event, for people who watch a federation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedcxr.indexer.events import fields_of
from fedcxr.report.ledger.words import Names, argument, error, when
from fedcxr.terminal import one_line

_LONG = ("signature", "envelopeKey", "founding")  # of no use to a reader
_NONE = bytes(32)  # a root where there is none
_REPEATED = "RoleGranted"  # membership says it


def event_line(name: str, row: Mapping[str, Any], names: Names) -> str | None:
    """The line of an event: time, block, name and fields in brief; None where it says nothing new."""
    if name == _REPEATED:
        return None
    fields = [
        f"{key}={_brief(key, value, names)}"
        for key, value in fields_of(name, row).items()
        if key not in _LONG and value != _NONE
    ]
    return f"{when(row['time'])}  block {row['block']}  {name}  {' '.join(fields)}"


def event_fields(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The event with all its fields in full, for programs."""
    place = {"event": name, "block": row["block"], "time": row["time"], "transaction": row["tx"]}
    return {**place, **fields_of(name, row)}


def _brief(key: str, value: Any, names: Names) -> str:
    if isinstance(value, list):
        return str(sum(value) if key == "credits" else len(value))
    if isinstance(value, dict):
        return error(value, names) if "error" in value else "/".join(map(str, value.values()))
    return repr(one_line(value)) if key == "reason" else argument(value, names)
