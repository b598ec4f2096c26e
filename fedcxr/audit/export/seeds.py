"""The seeds of masked rounds in an export: which set each hospital answered for, under its signature.

An export has no updates, and with them no commitments: whether a seed is the one that was committed to, and
what the sum is, it does not show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from fedcxr.audit.evidence import Evidence
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.published_answers import answer_faults
from fedcxr.audit.record import CONTRADICTIONS, contradiction
from fedcxr.errors import StoreError
from fedcxr.ledger.event_views import EventViews
from fedcxr.ledger.protocol import RoundView
from fedcxr.masked_rounds.attempts import masked_attempt
from fedcxr.masked_rounds.seeds_file import SeedsFile

_ROOT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ExportedSeeds:
    """Which blobs of an export are seeds of masked rounds.

    A share of the hospitals that may collude is in every hospital's context: with another one no answer's
    signature holds, and so nobody's word on it is needed.

    Attributes:
        colluder_parts: of the federation's configuration, in 1/10,000.
        roots: of the seeds, by round.
    """

    colluder_parts: int = 0
    roots: Mapping[int, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, evidence: Evidence) -> Self:
        """What an audit went by."""
        return cls(evidence.colluder_parts or 0, dict(evidence.seeds))

    def to_tree(self) -> dict[str, Any]:
        """As JSON has it; nothing where no round is masked."""
        if not self.roots:
            return {}
        roots = {str(number): root.hex() for number, root in self.roots.items()}
        return {"seeds": {"colluder_parts": self.colluder_parts, "roots": roots}}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Self:
        """Read :meth:`to_tree` back.

        Raises:
            StoreError: it is none.
        """
        said = tree.get("seeds")
        if said is None:
            return cls()
        try:
            parts, roots = said["colluder_parts"], said["roots"]
            fits = type(parts) is int and all(_ROOT.fullmatch(root) for root in roots.values())
            made = cls(parts, {int(number): bytes.fromhex(root) for number, root in roots.items()})
        except (KeyError, TypeError, ValueError, AttributeError):
            fits = False
        if not fits or made.to_tree() != {"seeds": said}:
            raise StoreError("audit.json: what it says of seeds is not as it would be written.")
        return made

    def check(
        self,
        ledger: EventViews,
        view: RoundView,
        hospital: str,
        blobs: Mapping[bytes, bytes],
        to: AuditReport,
    ) -> None:
        """Hold a round's seeds to the ledger's attempt and set, and the answers in them to their signatures.

        Args:
            ledger: by the export's events.
            view: of the round.
            hospital: that was asked for; empty for all.
            blobs: of the export.
            to: report that findings, and what is unchecked, are added to.
        """
        if view.number not in self.roots:
            return
        root = self.roots[view.number]
        for announced in ledger.seeds_published(view.number, view.attempt)[-1:]:
            if announced != root:
                to.find(
                    "seeds file", f"{announced.hex()}, which the court announced", root.hex(), view.number
                )
        said = f"round {view.number}: whether its seeds are those that hospitals committed to, and its sum"
        to.unchecked.append(f"{said}: an export has no updates")
        data = blobs.get(root)
        if data is None:
            to.unchecked.append(f"round {view.number}: its seeds, which are not in the export")
            return
        values = ledger.deployment_parameters.update_size // 4
        accounts = {view.seats[address]: address for address in view.participants}
        try:
            attempt = masked_attempt(ledger, view.number, self.colluder_parts, values)
            accepted = sorted(view.seats[address] for address in view.counted)
            answers = SeedsFile.from_bytes(data, attempt, accepted).answers
            for seat, expected, found in answer_faults(attempt, accepted, {}, answers, ledger.domain):
                whose = "" if seat is None else accounts[seat]
                if hospital in ("", whose):
                    to.find("answer in the seeds file", expected, found, view.number, whose)
        except (*CONTRADICTIONS, OverflowError) as error:
            expected = "the seeds of the round's masks"
            to.find("seeds file", expected, contradiction(error), view.number)
