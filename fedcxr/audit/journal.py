"""A hospital's journal: what it signed, and so what the coordinator cannot deny having been given.

The ledger has what was relayed to it. A coordinator that hands one hospital a model of its own making, and
drops the refusal, leaves no trace there; the hospital's disk has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from fedcxr import bounded, json_text
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.participation import Absence, absences, has_update
from fedcxr.errors import FederationError, LedgerError, StoreError
from fedcxr.ledger.signed_json import signed_from_tree
from fedcxr.ledger.signing import (
    Approval,
    Attestation,
    ChallengeResponse,
    Departure,
    Refusal,
    Registration,
    Rotation,
    Struct,
    Submission,
    recover,
)
from fedcxr.ledger.transaction import decode_error
from fedcxr.ledger.views import FederationViews

_KINDS: dict[str, type[Struct]] = {
    kind.kind(): kind
    for kind in (
        Registration,
        Rotation,
        Departure,
        Approval,
        ChallengeResponse,
        Submission,
        Refusal,
        Attestation,
    )
}
_SIGNER: dict[type[Struct], str] = {
    Registration: "member",
    Rotation: "member",
    Departure: "member",
    Approval: "member",
    Attestation: "validator",
}
_LONGEST_LINE = 1 << 12  # bytes; ours have at most 800
_LONGEST = 1 << 26  # bytes of a journal; a thousand rounds have some two million
_SHOWN = 20  # lines that are not what they should be; a file of something else would give thousands


def check_journal(path: Path, ledger: FederationViews, report: AuditReport) -> None:
    """Hold a journal against the ledger.

    A refusal that the ledger lacks is a finding. So is an update of a finalized round that has none of the
    hospital, unless the ledger shows why: the coordinator kept it back, or it was lost on its way. Of a
    hospital whose update is in the round neither convicts anybody. A last line that a crash cut short is
    noted: what it would have said never left the hospital.

    Raises:
        StoreError: the file cannot be read.
    """
    hospitals, bad = {member.address for member in ledger.members()}, 0
    missing = cache(lambda number: {absence.seat: absence for absence in absences(ledger, number)})
    for number, text in enumerate(_lines(path), start=1):
        where = f"{path} line {number}"
        if len(text) <= _LONGEST_LINE and not text.endswith(b"\n"):
            report.notes.append(f"{where}: cut short")
            continue
        try:
            struct = _signed(text.removesuffix(b"\n"), ledger)
        except (ValueError, FederationError, LedgerError) as error:
            bad += 1
            if bad <= _SHOWN:
                report.find(where, "what a hospital signed", str(error))
            continue
        if isinstance(struct, Refusal | Submission):
            if struct.federation != ledger.federation or struct.hospital not in hospitals:
                report.find(where, "a hospital of this federation", struct.hospital)
            elif isinstance(struct, Refusal):
                _check_refusal(struct, ledger, report, where)
            else:
                _check_submission(struct, ledger, missing, report, where)
    if bad > _SHOWN:
        report.find(str(path), "what a hospital signed", f"{bad - _SHOWN:,} more lines that are not")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        yield from bounded.lines(path, _LONGEST, _LONGEST_LINE)
    except OSError as error:
        raise StoreError(f"{path}: the journal cannot be read: {error.strerror}.") from None


def _signed(text: bytes, ledger: FederationViews) -> Struct:
    """A line's struct, with its signature verified."""
    if len(text) > _LONGEST_LINE:
        raise FederationError(f"a line of more than {_LONGEST_LINE:,} bytes, the most that are expected.")
    tree = json_text.parse(text)
    word = tree.pop("kind", None) if isinstance(tree, dict) else None
    kind = _KINDS.get(word) if isinstance(word, str) else None
    if kind is None:
        raise FederationError(f"kind: {word!r:.80} is none of {', '.join(_KINDS)}.")
    signed = signed_from_tree(kind, tree)
    claimed = getattr(signed.message, _SIGNER.get(kind, "hospital"))
    if (signer := recover(signed.message, signed.signature, ledger.domain)) != claimed:
        raise FederationError(f"signed by {signer}")
    return signed.message


def _check_refusal(refusal: Refusal, ledger: FederationViews, report: AuditReport, where: str) -> None:
    number, hospital = refusal.round, refusal.hospital
    if refusal.seen in ledger.refusals(number).get(hospital, []):
        return
    found = f"none: the coordinator kept back that it was refused, with the model {refusal.seen.hex()}"
    if 0 < number <= ledger.last_finalized and has_update(ledger, number, hospital):
        said = f"its update in round {number} is on the ledger's base"
        report.notes.append(f"{where}: its refusal is not on the ledger; {said}")
    else:
        report.find(where, "its refusal on the ledger", found, number, hospital)


def _check_submission(
    signed: Submission,
    ledger: FederationViews,
    missing: Callable[[int], Mapping[int, Absence]],
    report: AuditReport,
    where: str,
) -> None:
    number, hospital = signed.round, signed.hospital
    accepted = {
        (event["args"]["hospital"], bytes(event["args"]["root"]))
        for event in ledger.events("UpdateAccepted", number)
    }
    if (hospital, signed.root) in accepted:
        return
    said = f"round {number}: {hospital} signed an update that the contract did not accept"
    if not 0 < number <= ledger.last_finalized:
        report.notes.append(f"{where}: {said}")
        return
    absence = missing(number).get(ledger.seat_of(hospital))
    if absence is None:
        if not ledger.recording.listed:  # which does not say of each whose root it is
            report.notes.append(f"{where}: {said}; another one of it is in the round")
        return
    if why := absence.cause or _came_late(signed, ledger):
        report.notes.append(f"{where}: {said} ({why})")
        return
    found = f"none; {absence.known}: the coordinator kept back what it was sent, or it was lost on its way"
    report.find(where, "its update among those that the round accepted", found, number, hospital)


def _came_late(signed: Submission, ledger: FederationViews) -> str:
    """That an update was brought to the open round after its deadline; empty where it was not.

    Of other reasons the contract's rejection says little: who sends a copy that is spoilt, or sends it when
    the round is closed, is given one too.
    """
    late = any(
        values["hospital"] == signed.hospital
        and bytes(values["root"]) == signed.root
        and decode_error(bytes(values["reason"])).name == "DeadlinePassed"
        for values in ledger.round_events(signed.round).attempts[-1].of("UpdateRejected")
    )
    return "it came after the deadline" if late else ""
