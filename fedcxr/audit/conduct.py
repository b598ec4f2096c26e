"""How coordinator and hospitals behaved, from the ledger alone: refusals, lost attempts, who was left out."""

from __future__ import annotations

from collections.abc import Iterable

from fedcxr.audit.findings import AuditReport
from fedcxr.audit.participation import absences, has_update
from fedcxr.audit.scope import Scope
from fedcxr.errors import LedgerError
from fedcxr.ledger.event_views import EventViews
from fedcxr.ledger.history import aborted_attempts, not_asked
from fedcxr.ledger.views import FederationViews


def check_conduct(ledger: EventViews, scope: Scope, last: int, report: AuditReport) -> None:
    """Refusals and history of the rounds asked for; with the last of them, also of the one that follows.

    All of it is of events, so that who verifies an export finds what the audit found.
    """
    rounds, numbers = scope.rounds(last), scope.rounds_and_next(last)
    _check_history(ledger, numbers, last, scope.hospital, report)
    _check_disputes(ledger, rounds, report)
    _check_refusals(ledger, numbers, last, scope.hospital, report)
    _check_bringers(ledger, rounds, scope.hospital, report)


def _check_disputes(ledger: EventViews, numbers: Iterable[int], report: AuditReport) -> None:
    """A challenge that the court has found for."""
    for number in numbers:
        if number in ledger.disputed:
            found = "a challenge that the court found for: the coordinator lost its bond"
            report.find("the round's result", "one that stands", found, number)


def _check_refusals(
    ledger: FederationViews, numbers: Iterable[int], last: int, asked: str, report: AuditReport
) -> None:
    """A hospital's signed word that it was handed a model which is not the round's base.

    It may be a lie, or a bit that flipped on its way; either way somebody has to look into it. From a
    hospital that trained on the right base after all, for a round that is final, it convicts nobody.
    """
    for number in numbers:  # also of a round that never got to its end
        for hospital, digests in ledger.refusals(number).items():
            if asked not in ("", hospital):
                continue
            try:
                base = ledger.round(number).base.hex()
            except LedgerError as error:  # nobody keeps a hospital from refusing what was never opened
                base = str(error)
            for seen in digests:
                if seen.hex() == base:
                    said = f"round {number}: {hospital} refused to train from the model that the ledger holds"
                    report.notes.append(
                        f"{said}: the round was beyond its own limits or the rules, or it was mistaken"
                    )
                elif number <= last and has_update(ledger, number, hospital):
                    said = f"round {number}: {hospital} says that it was handed {seen.hex()} as base model"
                    report.notes.append(f"{said}; its own update in the round is on the ledger's")
                else:
                    report.find("base model as handed out", base, seen.hex(), number, hospital)


def _check_history(
    ledger: FederationViews, numbers: Iterable[int], last: int, asked: str, report: AuditReport
) -> None:
    """Who was not asked, who did not come, and what was given up: everyone's to know.

    An update that was accepted in an attempt that was given up may have been read by then; that its hospital
    is not in the attempt that was finalized is a finding, unless the ledger shows why.
    """
    for number in numbers:
        for attempt in aborted_attempts(ledger, number):
            said = f"round {number}, attempt {attempt.attempt}: given up by {attempt.by} ({attempt.reason})"
            report.notes.append(f"{said}, with {len(attempt.accepted)} updates accepted")
        if number > last:
            continue
        for absence in absences(ledger, number):
            hospital, known = absence.hospital, absence.known
            if asked not in ("", hospital):
                continue
            if absence.before and not absence.cause:
                wanted = "an update of it" if absence.asked else "asked again"
                expected = f"{wanted}, for attempt {absence.before} had accepted its update"
                report.find("participants", expected, known, number, hospital)
            else:
                so_far = "was asked" if absence.asked else f"was in attempt {absence.before}"
                report.notes.append(f"round {number}: {hospital} {so_far}, and has no update in it: {known}")
        for hospital in not_asked(ledger, number):
            if asked in ("", hospital):
                report.notes.append(f"round {number}: {hospital} was registered, but not asked")


def _check_bringers(ledger: EventViews, numbers: Iterable[int], asked: str, report: AuditReport) -> None:
    """Updates that neither the coordinator nor their own hospitals brought to the contract.

    Who sent a transaction is recovered from its signature.
    """
    coordinators, senders = ledger.coordinators, dict[bytes, str]()
    for number in numbers:
        for event in ledger.round_events(number).attempts[-1].events:
            if event["event"] != "UpdateAccepted":
                continue
            hospital, transaction = str(event["args"]["hospital"]), bytes(event["transactionHash"])
            if transaction not in senders:
                senders[transaction] = ledger.sender(event)
            sender = senders[transaction]
            if asked in ("", hospital) and sender not in (hospital, *coordinators):
                said = f"round {number}: the update of {hospital} was brought to the contract by {sender}"
                report.notes.append(f"{said}, neither its hospital nor a coordinator")
