"""The removal of a finished run's updates: what has to hold before, and the audit that is kept of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fedcxr.api.audit import Audit, audit_keys, ledger_of
from fedcxr.api.audit_memory import memory_of
from fedcxr.audit.audit import Progress, Request, conduct_audit
from fedcxr.audit.export.export import Exhibits, export
from fedcxr.audit.findings import first_model_is_unknown
from fedcxr.audit.ledger_source import EndpointLedger, LedgerSource
from fedcxr.audit.scope import Scope
from fedcxr.audit.sources import RunSources
from fedcxr.errors import AuditFailedError, AuditIncompleteError, StoreError
from fedcxr.ledger.views import FederationViews
from fedcxr.privacy.kinds import protection_named
from fedcxr.report.tables import count
from fedcxr.store import garbage
from fedcxr.store.identity import Identity
from fedcxr.store.pruned import Pruned
from fedcxr.store.run_directory import RunDirectory

_NOTHING = "Nothing was removed."


def require_prunable(run: RunDirectory, ledger: FederationViews) -> None:
    """See that a run is finished, and that nobody may still have to be shown its updates.

    Raises:
        StoreError: it is not, or somebody may.
    """
    last, planned = ledger.last_finalized, run.config.federation.total_rounds
    if last < planned or ledger.round_in_progress:
        raise StoreError(
            f"{run.root}: {last} of {count(planned, 'round')} are finalized: an unfinished run keeps its "
            "updates.",
            advice=f"{_NOTHING} Finish the run first: fedcxr simulate --resume RUN.",
        )
    unmasks = protection_named(run.config.privacy.envelope).unmasks
    if open_ones := [n for n in range(1, last + 1) if garbage.disputable(ledger, n, unmasks=unmasks)]:
        raise StoreError(
            f"{run.root}: {count(len(open_ones), 'round')}, from round {open_ones[0]} on, can still be "
            "challenged, which takes the updates.",
            advice=f"{_NOTHING} Repeat the command once ledger.dispute_window is over.",
        )


def pruned_of(run: RunDirectory, ledger: FederationViews) -> Pruned:
    """What the run says that was removed of it so far.

    Raises:
        StoreError: the file is damaged, or of another federation.
    """
    federation, contract = ledger.federation.hex(), ledger.address
    said = Pruned.read(run.root) or Pruned(federation, contract)
    if (said.federation, said.contract) != (federation, contract):
        raise StoreError(f"{run.root}: its pruned.json is of another federation, {said.federation:.64}.")
    return said


def audited(run: RunDirectory, key: Path | None, sign: Path | None, progress: Progress) -> str:
    """Audit a run whose updates are all there, and keep the signed export; its hex SHA-256.

    Args:
        run: a finished run, trusted.
        key: of the coordinator or the auditor, where not in the run's ``keys/``.
        sign: key file that signs; None for the auditor's in the run's ``keys/``, or the coordinator's.
        progress: told of blocks, and of bytes of updates.

    Raises:
        AuditFailedError: the audit found something; nothing was written.
        AuditIncompleteError: it could not recompute the released model; nothing was written.
        StoreError: a key file cannot be read.
    """
    usual = [run.keys / "auditor.json", run.keys / "coordinator.json"]
    signer = Identity.load(sign or next((path for path in usual if path.exists()), usual[0])).account
    keys, unreadable = audit_keys(run, key)
    source = _source(run)
    exhibits, request = Exhibits(source), Request(keys, memory=memory_of(run))
    report = conduct_audit(source, RunSources(run), request, progress, exhibits.keep)
    report.unchecked += unreadable
    # The keeper's own endpoint names the head: what is asked here is whether the updates add up.
    recomputed = report.clean and report.released and not first_model_is_unknown(report.unchecked)
    if not recomputed:
        try:
            Audit.of(report, str(run.root)).require_proof()
        except (AuditFailedError, AuditIncompleteError) as error:
            advice = f"{_NOTHING} `fedcxr audit RUN` says why; --without-audit removes updates all the same."
            raise type(error)(str(error), advice=advice) from None
    data = export(report, exhibits, Scope(), signer, lambda: f"{datetime.now(UTC):%FT%TZ}")
    return Pruned.keep_statement(run.root, data)


def _source(run: RunDirectory) -> LedgerSource:
    settings = run.ledger_settings
    if settings.backend == "rpc":
        facts = run.read_facts()
        return EndpointLedger(settings.endpoint, facts.contract, None, facts)
    return ledger_of(run)
