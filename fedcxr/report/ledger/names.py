"""What a run calls its hospitals, by address."""

from __future__ import annotations

from pathlib import Path

from fedcxr import json_text

_TAIL = 2 << 20  # bytes of metrics.jsonl that are read, from its end: dozens of rounds of 50 hospitals
_LINES = 16  # rounds in which every hospital that still takes part was heard of


def read_names(metrics: Path) -> dict[str, str]:
    """Names by address, from the last lines of a run's ``metrics.jsonl``; none where there are none."""
    try:
        with metrics.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - _TAIL, 0))
            lines = file.read().splitlines()
    except OSError:
        return {}
    names: dict[str, str] = {}
    for text in lines[1 if size > _TAIL else 0 :][-_LINES:]:
        try:
            for name, record in json_text.parse(text)["hospitals"].items():
                names[str(record["address"])] = name
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # a crash cut it short
    return names
