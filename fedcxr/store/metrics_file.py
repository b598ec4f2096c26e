"""The file ``metrics.jsonl`` of a run: one line of JSON a round.

What a line says is typed one layer up, in :mod:`fedcxr.round_lines`; here a line is a JSON object that names
its round. Nothing heavier than the standard library is imported, because ``fedcxr ledger`` looks up the names
of hospitals here, and has no time for pydantic.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcxr import files, json_text

_TAIL = 2 << 20  # bytes that are read for names, from the file's end: dozens of rounds of 50 hospitals
_LINES = 16  # rounds in which every hospital that still takes part was heard of


@dataclass(frozen=True)
class MetricsFile:
    """One run's ``metrics.jsonl``."""

    path: Path

    def read(self) -> list[dict[str, Any]]:
        """The lines in order, up to the first that is not a round's: a crash cuts the last one short.

        Raises:
            StoreError: the file cannot be read.
        """
        trees = []
        for text in files.whole_lines(self.path):
            try:
                tree = json_text.parse(text)
            except ValueError:
                break
            if not isinstance(tree, dict) or type(tree.get("round")) is not int:
                break
            trees.append(tree)
        return trees

    def append(self, line: Mapping[str, Any]) -> None:
        """Append one round's line; it is on the disk when this returns.

        Raises:
            StoreError: it cannot be written.
            ValueError: a number is NaN or infinite.
        """
        files.append_line(self.path, _text(line))

    def rewrite(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Replace all lines at once.

        Raises:
            StoreError: they cannot be written.
            ValueError: a number is NaN or infinite.
        """
        files.write(self.path, "".join(f"{_text(line)}\n" for line in lines))

    @property
    def last_round(self) -> int:
        """The highest round that has a line; 0 where none has."""
        return max((int(tree["round"]) for tree in self.read()), default=0)

    def hospital_names(self) -> dict[str, str]:
        """What the last rounds call their hospitals, by address; none where the file cannot be read.

        At most 2 MiB and 16 lines are read, from the end, and what is not a round's line is passed over.
        """
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(size - _TAIL, 0))
                texts = file.read().splitlines()
        except OSError:
            return {}
        names: dict[str, str] = {}
        for text in texts[1 if size > _TAIL else 0 :][-_LINES:]:
            try:
                for name, hospital in json_text.parse(text)["hospitals"].items():
                    names[str(hospital["address"])] = name
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # a crash cut it short
        return names


def _text(line: Mapping[str, Any]) -> str:
    return json.dumps(line, allow_nan=False)
