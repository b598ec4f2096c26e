"""What a run's keeper says that he has removed, and what an audit that was made before says of it.

All of it is the keeper's: the file may be made up, and the export signed by anybody. So it makes no update
that is gone count as checked, and no other thing count as gone; what the ledger holds is held to it as ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedcxr.audit.export.verification import Verified, verify
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.history import Chain
from fedcxr.errors import StoreError
from fedcxr.ledger.signing import AUDITOR
from fedcxr.ledger.views import FederationViews
from fedcxr.store.pruned import NAME, STATEMENT, Pruned


@dataclass(frozen=True)
class Removal:
    """The rounds whose updates a run is said to have no more.

    Attributes:
        folder: of the run, where the statement is.
        said: what its file says; None where there is none, or none that can be believed to be of this run.
    """

    folder: Path
    said: Pruned | None = None

    @classmethod
    def of(cls, folder: Path, ledger: FederationViews, report: AuditReport) -> Removal:
        """Read what the folder says; what is not of this federation is a finding, and removes nothing."""
        try:
            said = Pruned.read(folder)
        except StoreError as error:
            report.find(NAME, "what fedcxr writes", str(error))
            return cls(folder)
        if said is None:
            return cls(folder)
        last, faults = ledger.last_finalized, len(report.findings)
        for what, expected, found in (
            ("federation", ledger.federation.hex(), said.federation),
            ("contract", ledger.address, said.contract),
        ):
            if expected != found:
                report.find(f"{NAME} {what}", expected, f"{found:.100}")
        if beyond := [number for number in said.rounds if number > last]:
            report.find(f"{NAME} rounds", f"finalized ones, 1 to {last}", f"round {beyond[0]}")
        return cls(folder, said if len(report.findings) == faults else None)

    @property
    def rounds(self) -> frozenset[int]:
        return frozenset(self.said.rounds) if self.said is not None else frozenset()

    def conclude(self, chain: Chain, ledger: FederationViews, report: AuditReport) -> None:
        """Say what is stated of the updates that are gone, and by whom."""
        if self.said is None or not self.said.rounds:
            return
        if not self.said.statement:
            report.notes.append(f"{NAME}: whoever removed the updates kept no audit of before")
            return
        try:
            stated = verify(self.said.read_statement(self.folder))
        except StoreError as error:
            report.find(STATEMENT, f"an export with SHA-256 {self.said.statement}", str(error))
            return
        for problem in (*stated.problems, *stated.recomputed):
            report.find(STATEMENT, "an export of an audit that found nothing", problem)
        if stated.problems or stated.head is None:
            return
        place = (ledger.domain.chain_id, ledger.address)
        if (found := (stated.chain_id, str(stated.report["contract"]))) != place:
            report.find(STATEMENT, "{1} on chain {0}".format(*place), "{1} on chain {0}".format(*found))
        elif chain.hash_of(stated.head.number) != stated.head.digest:
            report.find(STATEMENT, "an export of this chain", f"one of a chain with {stated.head}")
        else:
            report.notes.append(_statement(stated, ledger))


def _statement(stated: Verified, ledger: FederationViews) -> str:
    roles = {member.address: member.roles for member in ledger.members()}
    who = "whom the ledger does not name"
    if stated.signer == ledger.coordinator:
        who = "the coordinator"
    elif roles.get(stated.signer, 0) & AUDITOR:
        who = "an auditor by the ledger"
    said = f"the sums were recomputed, and the released model was {stated.report['released']}"
    if not stated.proven:
        said = "the released model could not be proven then either"
    return (
        f"{STATEMENT}: {stated.signer} ({who}) signed an audit that was made before updates were removed: "
        f"{said}; that is its signer's word, and `fedcxr audit verify` says more of it"
    )
