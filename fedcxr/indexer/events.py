"""Which events the two contracts have, and how a log becomes one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fedcxr import json_text
from fedcxr.errors import ChainError
from fedcxr.ledger.artifact import known_interface
from fedcxr.ledger.seats import NAMES, from_bitmap, with_numbers

if TYPE_CHECKING:
    from fedcxr.indexer.source import Log
    from fedcxr.ledger.abi import Fields

_LEFT_OUT = ("RoleRevoked", "RoleAdminChanged", "EIP712DomainChanged")  # OpenZeppelin's; they say nothing new


@dataclass(frozen=True)
class Event:
    """One log, read.

    Attributes:
        name: of the event.
        block: its number.
        position: of the log in its block.
        transaction: hash.
        values: by the ABI's names. A rejection's ``reason`` is ``{"error": name, "arguments": {…}}``.
    """

    name: str
    block: int
    position: int
    transaction: bytes
    values: Mapping[str, Any]


@lru_cache(maxsize=1)
def definitions() -> dict[str, list[dict[str, Any]]]:
    """The fields of every event that is kept, by its name: of the ledger and of its court.

    Of those that have a set of seats in a word or in a list of words, the ones with the word.
    """
    events = [e for e in known_interface().entries("event") if e["name"] not in _LEFT_OUT]
    wide = [e for e in events if any(f["name"] in NAMES and f["type"] == "uint256[]" for f in e["inputs"])]
    return {event["name"]: event["inputs"] for event in events if event not in wide}


def decode(log: Log) -> Event | None:
    """The event of a log; None when it is not kept.

    Raises:
        ChainError: it is not encoded as the ABI says.
    """
    found = _readers().get(log.topics[0] if log.topics else b"")
    if found is None:
        return None
    name, indexed, plain = found
    try:
        values: dict[str, Any] = {}
        for field, topic in zip(indexed, log.topics[1:], strict=True):
            values |= field.read(topic)
        values |= plain.read(log.data)
    except ValueError as error:
        raise ChainError(f"block {log.block}, log {log.position}: not a {name}: {error}.") from None
    if isinstance(values.get("reason"), bytes):
        values["reason"] = decode_reason(values["reason"])
    return Event(name, log.block, log.position, log.transaction, with_numbers(values))


def decode_reason(data: bytes) -> dict[str, Any]:
    """A custom error by its name, with its arguments by theirs; one that is unknown with its bytes."""
    name, fields = _errors().get(data[:4], ("", None))
    if fields is not None:
        with contextlib.suppress(ValueError):  # bytes that only begin like it
            return {"error": name, "arguments": fields.read(data[4:])}
    return {"error": "Unknown", "arguments": {"data": data}}


@lru_cache(maxsize=1)
def _readers() -> dict[bytes, tuple[str, list[Fields], Fields]]:
    """By topic: the event's name, each of its indexed fields, and the others."""
    from fedcxr.ledger.abi import Fields

    return {
        topic: (
            event["name"],
            [Fields([field]) for field in event["inputs"] if field["indexed"]],
            Fields([field for field in event["inputs"] if not field["indexed"]]),
        )
        for topic, event in known_interface().events.items()
        if event["name"] not in _LEFT_OUT
    }


@lru_cache(maxsize=1)
def _errors() -> dict[bytes, tuple[str, Fields]]:
    """By selector: the error's name and its fields."""
    from fedcxr.ledger.abi import Fields

    errors = known_interface().errors.items()
    return {first: (entry["name"], Fields(entry["inputs"])) for first, entry in errors}


def fields_of(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """An event's fields from a row of its table, as :func:`decode` gave them; a set of seats as a list."""
    fields: dict[str, Any] = {}
    for field in definitions()[name]:
        key, kind, value = field["name"], str(field["type"]), row[field["name"]]
        if kind == "bool":
            value = bool(value)
        elif kind.endswith("[]") or kind == "tuple" or (kind == "bytes" and key == "reason"):
            value = json_text.parse(value)
        elif kind == "uint256":
            value = int(value)
            if key in NAMES:
                value = from_bitmap(value)
        fields[key] = value
    return fields


def as_json(value: Any) -> str:
    """A value as JSON; bytes in hexadecimal."""
    return json.dumps(value, default=lambda item: item.hex(), separators=(",", ":"))
