"""How rounds were opened, against the configuration: their numbers, deadlines and weights.

Every attempt counts, also one that was given up: what hospitals had sent by then was read all the same.
"""

from __future__ import annotations

from fedcxr.audit.findings import AuditReport
from fedcxr.audit.scope import Scope
from fedcxr.ledger.artifact import NAME
from fedcxr.ledger.bounds import UNBOUND
from fedcxr.ledger.history import members_after, membership
from fedcxr.ledger.round_rules import Opening, RoundRules
from fedcxr.ledger.views import FederationViews


def check_openings(
    ledger: FederationViews, rules: RoundRules, scope: Scope, last: int, report: AuditReport
) -> None:
    """Every attempt at the rounds asked for; with the last of them, also at the one that follows."""
    samples = {seat: member.samples for seat, member in members_after(membership(ledger)).items()}
    for number in scope.rounds_and_next(last):
        for attempt in ledger.round_events(number).attempts:
            opening = Opening.of(ledger, attempt.events[0], samples)
            for what, expected, found in rules.breaches(opening):
                report.find(what, expected, f"{found}, in attempt {opening.attempt}", number)


def what_it_binds(ledger: FederationViews) -> str:
    """What the contract binds of every round, and where it is an earlier one, which."""
    which = "" if ledger.artifact in (None, NAME) else f" ({ledger.artifact}, of an earlier fedcxr)"
    return f"the contract{which} binds: {ledger.bounds or UNBOUND}"
