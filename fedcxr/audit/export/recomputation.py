"""What an export shows by itself, found again by the code of the audit.

The events are proven from the headers, round configurations and metrics have the roots that events name, and
signatures are in the events. So everything that an audit says of conduct, members, weights, deadlines and
senders is said here anew, and what the file's signer states of it is held to that. What was in the store
(updates, and with them sums and models) is in no export: of that there is only the signer's word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedcxr.audit.chain.proof import ChainProof
from fedcxr.audit.chain.proven_provider import alone
from fedcxr.audit.conduct import check_conduct
from fedcxr.audit.export.seeds import ExportedSeeds
from fedcxr.audit.findings import AuditReport, Finding
from fedcxr.audit.participants import participants
from fedcxr.audit.rare_labels import hold_to_statements, unchecked
from fedcxr.audit.record import CONTRADICTIONS, check_record, contradiction
from fedcxr.audit.round_configuration import disagreements
from fedcxr.audit.scope import Scope
from fedcxr.errors import ConfigError, LayoutError, StoreError
from fedcxr.ledger.connection import ContractConnection
from fedcxr.ledger.event_views import EventViews
from fedcxr.ledger.protocol import RoundView
from fedcxr.update.metrics import HospitalMetrics
from fedcxr.update.round_config import RoundConfig


def recompute(
    proof: ChainProof, scope: Scope, blobs: Mapping[bytes, bytes], seeds: ExportedSeeds
) -> AuditReport:
    """The findings and notes that follow from an export, with its count of rounds and updates.

    Args:
        proof: of the events, which fits together.
        scope: of the audit that was exported.
        blobs: of the export, by their roots.
        seeds: which of them are seeds of masked rounds.

    Raises:
        ConfigError: the rounds that the audit was asked for are not there.
    """
    report = AuditReport(contract=proof.contract)
    ledger = EventViews(ContractConnection(alone(proof), proof.contract))
    try:
        last = ledger.last_finalized
        report.federation = ledger.federation.hex()
        check_record(ledger, range(1, last + 1), proof.timestamp, report)
        check_conduct(ledger, scope, last, report)
        views = [ledger.round(number) for number in scope.rounds(last)]
        for view in views:
            _check_blobs(ledger, view, scope.hospital, blobs, report)
            _check_labels(ledger, view, blobs, seeds, report)
            seeds.check(ledger, view, scope.hospital, blobs, report)
        report.notes += participants(ledger, views, scope)
        report.rounds, report.updates = len(views), _updates(ledger, views, scope.hospital)
    except ConfigError:  # rounds that are not there
        raise
    except CONTRADICTIONS as error:
        report.find("the contract's events", "those of a federation", contradiction(error))
    return report


def scope_of(tree: Any) -> Scope:
    """What an export says that its audit was asked for.

    Raises:
        StoreError: it says nothing of the kind.
    """
    fields = {"first": int, "last": int | None, "hospital": str}
    if not isinstance(tree, dict) or tree.keys() != fields.keys():
        raise StoreError("audit.json: what was asked for is not said.")
    if not all(isinstance(tree[name], kind) for name, kind in fields.items()) or tree["first"] < 1:
        raise StoreError("audit.json: what was asked for is neither rounds nor a hospital.")
    return Scope(**tree)


def omissions(fresh: AuditReport, stated: Mapping[str, Any]) -> Iterator[str]:
    """What a report leaves out, or states otherwise, of what follows from its own export.

    Args:
        fresh: as :func:`recompute` has it.
        stated: the export's report, as JSON has it.
    """
    said = {(row["where"], row["round"], row["hospital"]) for row in stated["findings"]}
    for finding in fresh.findings:
        if _key(finding) not in said:
            yield f"{finding}: the report does not say so"
    if not stated["findings"] and not fresh.findings:
        for what, counted in (("rounds", fresh.rounds), ("updates", fresh.updates)):
            if counted not in (-1, stated[what]):
                yield f"audit.json: the report says {stated[what]!r:.40} {what}, its events have {counted}"


def _key(finding: Finding) -> tuple[str, int | None, str]:
    """Which finding it is; other versions have other words for what is expected and found."""
    return finding.where, finding.round, finding.hospital


def _updates(ledger: EventViews, views: Sequence[RoundView], hospital: str) -> int:
    """How many updates an audit looks at; -1 where events do not say, for they are in a list in the store."""
    if ledger.recording.listed:
        return -1
    return sum(hospital in ("", address) for view in views for address in view.accepted)


def _check_blobs(
    ledger: EventViews, view: RoundView, hospital: str, blobs: Mapping[bytes, bytes], report: AuditReport
) -> None:
    """The round's configuration and its hospitals' metrics, as far as they are in the export."""
    data = blobs.get(view.config_digest)
    if data is None:
        report.unchecked.append(f"round {view.number}: its configuration, which is not in the export")
    else:
        try:
            for what, expected, found in disagreements(RoundConfig.from_bytes(data), view.number, ledger):
                report.find(f"round configuration's {what}", expected, found, view.number)
        except LayoutError as error:
            report.find("round configuration", "one that can be read", str(error), view.number)
    for address, update in view.accepted.items():
        if hospital not in ("", address) or update.metrics not in blobs:
            continue
        try:
            HospitalMetrics.from_bytes(blobs[update.metrics])
        except CONTRADICTIONS as error:
            report.find("metrics", "what a hospital reports", str(error), view.number, address)


def _check_labels(
    ledger: EventViews,
    view: RoundView,
    blobs: Mapping[bytes, bytes],
    seeds: ExportedSeeds,
    report: AuditReport,
) -> None:
    """The labels that the round withheld, where its configuration is in the export and can be read."""
    try:
        rare = RoundConfig.from_bytes(blobs[view.config_digest]).rare
    except (KeyError, LayoutError):
        return
    if rare is not None and seeds.roots:  # with which an export says how many may collude
        hold_to_statements(ledger, view.number, seeds.colluder_parts, rare, report, withholds=True)
    elif rare is not None:
        report.unchecked.append(unchecked(view.number))
