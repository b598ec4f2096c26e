"""A hospital's journal: what it signed, and so what the coordinator cannot deny having been given.

The ledger has what was relayed to it. A coordinator that hands one hospital a model of its own making, and
drops the refusal, leaves no trace there; the hospital's disk has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fedcxr import bounded, json_text
from fedcxr.audit.findings import AuditReport
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

    A refusal that the ledger lacks is a finding. An update that it lacks is a note: it may have come late.
    So is a last line that a crash cut short: what it would have said never left the hospital.

    Raises:
        StoreError: the file cannot be read.
    """
    hospitals, bad = {member.address for member in ledger.members()}, 0
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
                _check_submission(struct, ledger, report, where)
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
    if refusal.seen not in ledger.refusals(refusal.round).get(refusal.hospital, []):
        expected = "its refusal on the ledger"
        found = f"none: the coordinator kept back that it had handed out {refusal.seen.hex()}"
        report.find(where, expected, found, refusal.round, refusal.hospital)


def _check_submission(signed: Submission, ledger: FederationViews, report: AuditReport, where: str) -> None:
    known = {
        (event["args"]["hospital"], bytes(event["args"]["root"]))
        for name in ("UpdateAccepted", "UpdateRejected")
        for event in ledger.events(name, signed.round)
    }
    if (signed.hospital, signed.root) not in known:
        said = f"round {signed.round}: {signed.hospital} signed an update that never came to the contract"
        report.notes.append(f"{where}: {said}")
