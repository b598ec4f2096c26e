"""The labels that a round withheld: what its configuration says, against statements, and what its sum did."""

from __future__ import annotations

from fedcxr.aggregation.aggregator import Aggregator
from fedcxr.audit.evidence import Evidence
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.record import CONTRADICTIONS, contradiction
from fedcxr.data.labels import LABELS
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.views import FederationViews
from fedcxr.masked_rounds.rare_labels import rare_label_breaches
from fedcxr.update.label_rows import moved_labels
from fedcxr.update.round_config import RareLabels, RoundConfig


def check_rare_labels(evidence: Evidence, view: RoundView, round_config: RoundConfig) -> None:
    """Hold a round's withheld labels to its statements, and these to the hospitals' own of earlier rounds."""
    rare, parts, withholds = round_config.rare, evidence.colluder_parts, evidence.withholds
    if parts is None or withholds is None:
        if rare is not None:
            evidence.report.unchecked.append(unchecked(view.number))
        return
    fits = hold_to_statements(evidence.ledger, view.number, parts, rare, evidence.report, withholds=withholds)
    if rare is not None and fits:
        _check_statements(evidence, view, rare)


def hold_to_statements(
    ledger: FederationViews,
    number: int,
    parts: int,
    rare: RareLabels | None,
    report: AuditReport,
    *,
    withholds: bool,
) -> bool:
    """Whether a round's withheld labels follow from its participants' statements; a finding where not."""
    try:
        found = list(rare_label_breaches(ledger, number, parts, rare, withholds=withholds))
    except CONTRADICTIONS as error:
        expected = "those of a round that hides updates"
        report.find("the withheld labels", expected, contradiction(error), number)
        return False
    for what, expected, said in found:
        report.find(what, expected, said, number)
    return not found


def unchecked(number: int) -> str:
    """What is said where nobody here has the configuration."""
    return f"round {number}: the labels that it withheld: the configuration is not at hand"


def _check_statements(evidence: Evidence, view: RoundView, rare: RareLabels) -> None:
    """Whoever signed two statements lies in one; one that is gone from a round was left out of its list."""
    by_seat = {view.seats[address]: address for address in view.participants}
    stated = {one.seat: one.labels for one in rare.statements}
    for seat, address in sorted(by_seat.items()):
        before, now = evidence.stated.get(seat), stated.get(seat)
        asked_for = evidence.scope.hospital in ("", address)
        if asked_for and before is not None and now != before:
            expected = f"as in an earlier round: {named_labels(before)}"
            found = "no statement" if now is None else f"another statement: {named_labels(now)}"
            # without one the list is the coordinator's, and nobody has signed for it
            whose = "" if now is None else address
            evidence.report.find(f"the labels of seat {seat}", expected, found, view.number, whose)
    evidence.stated.update(stated)


def check_withheld_rows(
    evidence: Evidence, number: int, total: Aggregator, round_config: RoundConfig
) -> None:
    """See that a round's sum moves no row of a label that it withheld."""
    if round_config.rare is None or evidence.layout is None:
        return
    for label in moved_labels(total.total, evidence.layout, round_config.rare.withheld):
        found = "it moves them: a hospital in it did not withhold them"
        evidence.report.find(f"rows of {LABELS[label]}", "zero in the sum, for it is withheld", found, number)


def named_labels(labels: int) -> str:
    """Labels that a statement has as bits, by their names."""
    return ", ".join(name for place, name in enumerate(LABELS) if labels >> place & 1) or "none"
