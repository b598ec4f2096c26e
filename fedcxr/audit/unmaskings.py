"""Answers in a hospital's journal: one for each attempt at a masked round, and for the ledger's set.

A second answer is what a coordinator with two chains wants: shares for one set and seeds for another give
single updates away. Two hospitals with two sets convict nobody alone, for either may lie, or whoever showed
them the chain; block and hash in the statements say whose chain to look at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fedcxr.audit.findings import AuditReport
from fedcxr.audit.published_answers import SHOWN_ANOTHER
from fedcxr.ledger.seats import from_bitmap
from fedcxr.ledger.statements import Unmasking
from fedcxr.ledger.views import FederationViews

ContextOf = Callable[[int, int], bytes | None]
"""The context of an attempt at a round, by the ledger; None where it is not known here."""


@dataclass
class Unmaskings:
    """The answers of one journal, whose signatures hold.

    Attributes:
        ledger: the record.
        report: that findings are added to.
        context_of: contexts by the ledger.
    """

    ledger: FederationViews
    report: AuditReport
    context_of: ContextOf
    _first: dict[tuple[int, int, int], tuple[str, Unmasking]] = field(default_factory=dict)

    def take(self, said: Unmasking, where: str) -> None:
        """Hold an answer to those before it of the same attempt, and to the ledger."""
        place = said.round, said.attempt, self.ledger.seat_of(said.hospital)
        before, first = self._first.setdefault(place, (where, said))
        if (said.accepted, said.context) != (first.accepted, first.context):
            found = f"one for {_shown(said)}, and in {before} one for {_shown(first)}"
            self._find(said, where, f"one answer for attempt {said.attempt}", found)
        elif first is not said:
            return
        accepted = self._set_of(said)
        if accepted is None:
            expected = f"an attempt {said.attempt} whose set the ledger has"
            self._find(said, where, expected, f"an answer for {_shown(said)}: {SHOWN_ANOTHER}")
        elif said.accepted != accepted:
            expected = f"an answer for the ledger's set, seats {from_bitmap(accepted)!s:.300}"
            self._find(said, where, expected, f"one for {_shown(said)}: {SHOWN_ANOTHER}")
        elif (context := self.context_of(said.round, said.attempt)) not in (None, said.context):
            assert context is not None
            expected = f"an answer for the ledger's attempt, of context {context.hex()}"
            self._find(said, where, expected, f"one for {_shown(said)}: {SHOWN_ANOTHER}")

    def _set_of(self, said: Unmasking) -> int | None:
        """The set of an attempt, by the ledger; None where that has none."""
        for attempt in self.ledger.round_events(said.round).attempts:
            if attempt.of("RoundOpened")[0]["attempt"] == said.attempt:
                for values in attempt.of("RoundValidated"):
                    return int(values["counted"])
        return None

    def _find(self, said: Unmasking, where: str, expected: str, found: str) -> None:
        self.report.find(where, expected, found, said.round, said.hospital)


def _shown(said: Unmasking) -> str:
    seats = f"seats {from_bitmap(said.accepted)!s:.300}"
    return f"{seats} at block {said.block}, 0x{said.block_hash.hex()}, of context {said.context.hex()}"
