"""The audit of a run, and the check of an audit that somebody else exported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcxr import bounded
from fedcxr.audit.audit import Progress, Request, conduct_audit
from fedcxr.audit.export.archive import LARGEST
from fedcxr.audit.export.verification import Verified
from fedcxr.audit.export.verification import verify as verify_bytes
from fedcxr.audit.findings import AuditReport, Finding, first_model_is_unknown, updates_were_removed
from fedcxr.audit.journal_ledger import JournalLedger
from fedcxr.audit.ledger_source import LedgerSource, RunLedger
from fedcxr.audit.memory import AuditMemory
from fedcxr.audit.scope import Scope
from fedcxr.audit.sources import RunSources
from fedcxr.errors import AuditFailedError, AuditIncompleteError, ConfigError, FedcxrError, StoreError
from fedcxr.ledger.views import checked_address
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.report.tables import count
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory


@dataclass(frozen=True)
class Audit:
    """The outcome of an audit.

    Attributes:
        place: the run, or the contract where there is no run directory.
        federation: hex id.
        contract: address.
        released: hex digest of the last finalized model, as recomputed; empty when it could not be.
        rounds: how many finalized rounds were looked at.
        updates: how many accepted updates were looked at.
        bytes: of these updates.
        findings: what is not as the ledger says; empty when the run is clean.
        unchecked: what could not be checked, and why; it is never counted as passed.
        notes: what somebody says, and nothing can prove right or wrong.
        clean: whether nothing was found.
        complete: whether everything could be looked at.
        proven: whether the released model was recomputed, and nothing was found.
    """

    place: str
    federation: str
    contract: str
    released: str
    rounds: int
    updates: int
    bytes: int
    findings: tuple[Finding, ...]
    unchecked: tuple[str, ...]
    notes: tuple[str, ...]
    clean: bool
    complete: bool
    proven: bool

    @classmethod
    def of(cls, report: AuditReport, place: str) -> Audit:
        """The outcome that a finished report tells."""
        return cls(
            place=place,
            federation=report.federation,
            contract=report.contract,
            released=report.released,
            rounds=report.rounds,
            updates=report.updates,
            bytes=report.bytes,
            findings=tuple(report.findings),
            unchecked=tuple(report.unchecked),
            notes=tuple(report.notes),
            clean=report.clean,
            complete=report.complete,
            proven=report.proven,
        )

    def require_proof(self) -> None:
        """Do nothing where the released model is proven.

        Raises:
            AuditFailedError: something was found.
            AuditIncompleteError: nothing was found, but the released model could not be recomputed, or only
                on a chain whose head nobody but its endpoint has named.
        """
        if not self.clean:
            raise AuditFailedError(f"{self.place}: {count(len(self.findings), 'finding')}.")
        if not self.proven and self.released and first_model_is_unknown(self.unchecked):
            raise AuditIncompleteError(
                f"{self.place}: nothing found, but the first model was not made again: its weights may have "
                "been planted, see what is unchecked."
            )
        if not self.proven and self.released:
            raise AuditIncompleteError(
                f"{self.place}: nothing found, but whether this is the consortium's chain only the endpoint "
                "says: give the hash of its head from elsewhere (--head)."
            )
        if not self.proven and updates_were_removed(self.unchecked):
            raise AuditIncompleteError(
                f"{self.place}: nothing found, but the released model could not be recomputed: whoever keeps "
                "the run has removed updates, and nobody can add them again.",
                advice="What an audit of before states, pruned.zip has: fedcxr audit verify RUN/pruned.zip.",
            )
        if not self.proven:
            raise AuditIncompleteError(
                f"{self.place}: nothing found, but the released model could not be recomputed."
            )


@dataclass(frozen=True)
class Verification:
    """What became of an audit's export.

    Attributes:
        place: the export's file.
        signer: address of whoever signed it; empty when the signature is bad.
        problems: what does not fit; empty when the export is what was signed, and consistent.
        proves: what follows from it without trust in the signer.
        states: what is the signer's word.
        findings: of the audit that was exported.
        unchecked: what that audit could not check.
        own_artifact: whether the contract was held to an artifact that this fedcxr knows.
        artifact: name of that artifact, the present one or an earlier one; empty for an unknown one.
        proven: whether that audit recomputed the released model, on a chain whose head is known.
        known_as: by what the reader knows the signer; empty when the statements are nobody's word.
        recomputed: findings that follow from the export itself, whoever signed it.
        former: why the signer is no auditor any more, by the ledger; empty where it says no such thing.
        notes: what is said of earlier audits, and what of the export's own could not be looked at.
        conduct: what follows from it of who did what, without trust in the signer.
    """

    place: str
    signer: str
    problems: tuple[str, ...]
    proves: tuple[str, ...]
    states: tuple[str, ...]
    findings: tuple[Finding, ...]
    unchecked: tuple[str, ...]
    own_artifact: bool
    artifact: str
    proven: bool
    known_as: str
    recomputed: tuple[str, ...]
    former: str = ""
    notes: tuple[str, ...] = ()
    conduct: tuple[str, ...] = ()

    @classmethod
    def of(cls, result: Verified, place: str) -> Verification:
        """The outcome that a verification tells."""
        return cls(
            place=place,
            signer=result.signer,
            problems=tuple(result.problems),
            proves=tuple(result.proves),
            states=tuple(result.states),
            findings=_findings(result.report),
            unchecked=tuple(result.report.get("unchecked", ())),
            own_artifact=result.own_artifact,
            artifact=result.artifact,
            proven=result.proven,
            known_as=result.known_as,
            recomputed=tuple(result.recomputed),
            former=result.former,
            notes=tuple(result.notes),
            conduct=tuple(result.conduct),
        )

    @property
    def authentic(self) -> bool:
        """The export is what was signed, and consistent."""
        return not self.problems

    def require_proof(self) -> None:
        """Do nothing where the export is authentic and proves the released model.

        Raises:
            AuditFailedError: it was changed, does not fit together, shows a finding by itself, or reports
                findings under the signature of somebody whom the reader knows.
            AuditIncompleteError: the reader does not know who signed it, it is held to another contract, or
                the audit did not recompute the model.
        """
        if not self.authentic:
            raise AuditFailedError(f"{self.place}: {count(len(self.problems), 'problem')}.")
        if self.recomputed:
            raise AuditFailedError(f"{self.place}: {count(len(self.recomputed), 'finding')} in the export.")
        if not self.known_as:
            whom = f"no auditor any more: {self.former}" if self.former else "who may be anybody"
            raise AuditIncompleteError(
                f"{self.place}: {self.signer} signed it, {whom}: nothing proves what it says. Name whom you "
                "trust (--signer), or the head of the consortium's chain, whose auditors you trust (--head)."
            )
        if self.findings:
            raise AuditFailedError(f"{self.place}: {count(len(self.findings), 'finding')} of the audit.")
        if not self.own_artifact:
            raise AuditIncompleteError(f"{self.place}: held to another contract than that of this fedcxr.")
        if not self.proven:
            raise AuditIncompleteError(
                f"{self.place}: the audit found nothing, but did not recompute the model."
            )


def _findings(report: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The findings of an export's report; none where a changed export has no such list."""
    try:
        return tuple(Finding(**tree) for tree in report.get("findings", ()))
    except TypeError:
        return ()


def audit(
    run: RunDirectory,
    *,
    key: Path | None = None,
    journals: Iterable[Path] = (),
    scope: Scope | None = None,
    progress: Progress = lambda what, done, total: None,
    memory: AuditMemory | None = None,
) -> Audit:
    """Recompute a run from its own chain and store; the run is only read.

    Args:
        run: the run.
        key: key file of the coordinator or auditor; None for those in the run's ``keys/``.
        journals: ``journal.jsonl`` of hospitals, to hold against the ledger.
        scope: rounds and hospital; None for everything.
        progress: told of blocks, and of bytes of updates.
        memory: of earlier audits, which this one is held to; None for none.

    Raises:
        LedgerError: the run has no ledger.
        StoreError: there is no run, or a journal, ``key`` or what earlier audits kept cannot be read.
        EnvelopeError: no key is the coordinator's or the auditor's of this federation.
    """
    keys, unreadable = audit_keys(run, key)
    request = Request(keys, tuple(journals), scope or Scope(), memory)
    report = conduct_audit(ledger_of(run), RunSources(run), request, progress)
    report.unchecked += unreadable
    return Audit.of(report, str(run.root))


def verify_export(
    path: str | Path, *, signer: str = "", head: str = "", since: str = "", state: str = ""
) -> Verification:
    """Verify an audit's export offline: its signature, digests and events, and that its verdict fits them.

    Args:
        path: of the export.
        signer: address that must have signed it; empty for anybody's, whose word proves no released model
            unless ``head`` is given and the signer is an auditor of the federation.
        head: hash of the head of the consortium's chain in hexadecimal, as the reader has it from elsewhere.
        since: an earlier audit, whose chain the export's has to contain: a head's hash, or an export.
        state: folder in which audits are remembered; ``off`` for none, and empty for the usual one.

    Raises:
        StoreError: the file, or what earlier audits kept, cannot be read.
        LedgerError: ``signer`` is no address.
        ConfigError: ``head`` is no hash, or ``since`` neither a hash nor a file.
    """
    from fedcxr.api.audit_memory import memory_of

    return Verification.of(verified(Path(path), signer, head, memory_of(state=state, since=since)), str(path))


def head_hash(text: str) -> bytes | None:
    """The hash of a chain's head from its hexadecimal; None from an empty text.

    Raises:
        ConfigError: it is none.
    """
    try:
        return bytes.fromhex(text.removeprefix("0x")) if text else None
    except ValueError:
        raise ConfigError(f"--head {text}: not a hash in hexadecimal.") from None


def verified(path: Path, signer: str, head: str, memory: AuditMemory) -> Verified:
    """As :func:`verify_export`, with the report as the export has it."""
    address = checked_address(signer) if signer else ""
    try:
        data = bounded.read(path, LARGEST)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}.") from None
    return verify_bytes(data, signer=address, head=head_hash(head), memory=memory)


def ledger_of(run: RunDirectory) -> LedgerSource:
    """The chain in a run's directory: the embedded one, or what an anvil is rebuilt from."""
    kept = run.journal_path.exists() and not run.chain_path.exists()
    return JournalLedger(run) if kept else RunLedger(run)


def audit_keys(run: RunDirectory | None, key: Path | None) -> tuple[list[EnvelopePrivateKey], list[str]]:
    """The keys at hand, and what the run's damaged ones could have opened.

    Raises:
        StoreError: ``key`` cannot be read.
    """
    usual = [run.keys / "auditor.json", run.keys / "coordinator.json"] if run else []
    keys, unreadable = [], []
    for path in [key] if key else usual:
        if path.exists() or path == key:
            try:
                keys.append(Identity.load(path).envelope_key)
            except FedcxrError as error:
                if path == key:
                    raise
                unreadable.append(f"what {path} could open: {error}")
    return keys, unreadable
