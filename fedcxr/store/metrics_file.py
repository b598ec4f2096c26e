"""The file ``metrics.jsonl`` of a run: one line of JSON a round.

What a line says is typed one layer up, in :mod:`fedcxr.round_lines`; here a line is a JSON object that names
its round. Nothing heavier than the standard library is imported, because ``fedcxr ledger`` looks up the names
of hospitals here, and has no time for pydantic.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcxr import bounded, files, json_text
from fedcxr.errors import StoreError

LONGEST = 1 << 29
"""Bytes of the file; a round of 256 hospitals has some 150,000."""
LONGEST_LINE = json_text.LONGEST
"""Bytes of a line."""

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
        return [tree for _, tree in self._lines()]

    def put(self, line: Mapping[str, Any]) -> None:
        """Put one round's line in its place, instead of one that is there; it is on the disk on return.

        The bytes of all other lines are kept, and so are no lines but those that :meth:`read` reads.

        Raises:
            StoreError: the file cannot be read or written.
            ValueError: a number is NaN or infinite.
        """
        kept = {int(tree["round"]): text for text, tree in self._lines()}
        text = json.dumps(line, allow_nan=False)
        if sorted(kept) == list(range(1, line["round"])):
            files.append_line(self.path, text)
        else:
            kept[line["round"]] = text.encode()
            files.write(self.path, b"".join(kept[number] + b"\n" for number in sorted(kept)))

    def clear(self) -> None:
        """Begin the file anew.

        Raises:
            StoreError: it cannot be written.
        """
        files.write(self.path, b"")

    def _lines(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        for line in self._whole_lines():
            text = line.removesuffix(b"\n")
            try:
                tree = json_text.parse(text, LONGEST_LINE)
            except ValueError:
                return
            if not isinstance(tree, dict) or type(tree.get("round")) is not int:
                return
            yield text, tree

    def _whole_lines(self) -> Iterator[bytes]:
        try:
            for line in bounded.lines(self.path, LONGEST, LONGEST_LINE):
                if not line.endswith(b"\n"):  # cut short, or longer than any of ours
                    return
                yield line
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read: {error.strerror}.") from None

    @property
    def rounds(self) -> set[int]:
        """The rounds that have a line, whatever it says."""
        return {int(tree["round"]) for tree in self.read()}

    @property
    def last_round(self) -> int:
        """The highest round that has a line; 0 where none has."""
        return max(self.rounds, default=0)

    def hospital_names(self) -> dict[str, str]:
        """What the last rounds call their hospitals, by address; none where the file cannot be read.

        At most 2 MiB and 16 lines are read, from the end, and what is not a round's line is passed over.
        """
        try:
            with bounded.opened(self.path) as file:
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
