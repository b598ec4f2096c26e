"""New events as they come, while coordinators come and go."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fedcxr.errors import ChainError
from fedcxr.indexer.index_file import DamagedError
from fedcxr.indexer.location import ChainLocation, IndexedLedger, opened, rewound_text
from fedcxr.indexer.members import Members
from fedcxr.indexer.scan import Progress, Scan, scan


@dataclass(frozen=True)
class Seen:
    """An event, its row, and the members as of then."""

    name: str
    row: sqlite3.Row
    members: Members


@dataclass(frozen=True)
class Notice:
    """No event: from where it is watched, or the chain does not answer, answers again, took blocks back."""

    what: Literal["begun", "away", "back", "reorganised"]
    text: str


def follow(
    location: ChainLocation, *, interval: float, progress: Progress = lambda done, total: None
) -> Iterator[Seen | Notice]:
    """Events from now on, without end.

    Args:
        location: of the federation.
        interval: seconds between questions.
        progress: of the first scan.

    Raises:
        ChainError, LedgerError: it cannot be read at first. Later failures are waited out, and told once.
    """
    seen: int | None = None
    failures = 0
    while True:
        try:
            with opened(location, progress=progress) as ledger:
                done = ledger.scan
                while True:
                    if failures > 1:
                        yield Notice("back", "the chain answers again.")
                    failures = 0
                    if seen is not None and done.rewound is not None and done.rewound < seen:
                        yield Notice("reorganised", rewound_text(done.rewound))
                        seen = done.rewound
                    head = _head(ledger)
                    if seen is None:
                        yield Notice("begun", f"watching {location.contract} after block {head:,}.")
                    elif fresh := ledger.index.after(seen):
                        members = Members.of(ledger.index)
                        yield from (Seen(name, row, members) for name, row in fresh)
                    seen = head
                    time.sleep(interval)
                    if _has_awoken(ledger):
                        break
                    done = _again(ledger)
        except (ChainError, DamagedError) as error:
            if seen is None:
                raise
            # The first failure is the end of a run, whose chain lies in its file from then on.
            failures += 1
            if failures == 2:
                yield Notice("away", f"{error} Waiting for it.")
            if failures > 1:
                time.sleep(interval)


def _again(ledger: IndexedLedger) -> Scan:
    return scan(ledger.index, ledger.source, ledger.location.contract)


def _head(ledger: IndexedLedger) -> int:
    scanned = ledger.index.scanned
    return -1 if scanned is None else scanned.number


def _has_awoken(ledger: IndexedLedger) -> bool:
    """Whether a run has taken up the chain whose file was read."""
    endpoint = ledger.location.endpoint
    return ledger.offline and endpoint is not None and endpoint.exists()
