"""A hospital's journal: what it signed, and so what the coordinator cannot deny having been given.

The ledger has what was relayed to it. A coordinator that hands one hospital a model of its own making, and
drops the refusal, leaves no trace there; the hospital's disk has one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

from fedcxr import bounded, json_text
from fedcxr.audit.complaint import came_late, objection
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.participation import Absence, absences, has_update, left_unasked
from fedcxr.audit.rare_labels import named_labels
from fedcxr.audit.seen_heads import SeenBlock, check_seen
from fedcxr.audit.unmaskings import ContextOf, Unmaskings
from fedcxr.errors import ContractRejectedError, FederationError, LedgerError, StoreError
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
from fedcxr.ledger.statements import Complaint, Contradiction, Head, Labels, Unmasking
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
        Head,
        Contradiction,
        Complaint,
        Unmasking,
        Labels,
    )
}
_HELD = Refusal | Submission | Head | Complaint | Contradiction | Unmasking | Labels
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


def check_journal(
    path: Path,
    ledger: FederationViews,
    report: AuditReport,
    never_came: Collection[tuple[int, str]] = (),
    context_of: ContextOf = lambda number, attempt: None,
    *,
    stated: Mapping[int, int] = MappingProxyType({}),
) -> None:
    """Hold a journal against the ledger.

    A refusal that the ledger lacks is a finding. So is an update of a finalized round that has none of the
    hospital, unless the ledger shows why: the coordinator kept it back, or it was lost on its way; by a
    complaint the hospital says that it looked for it. Of a hospital whose update is in the round none of them
    convicts anybody, unless it was excluded without its bytes: by a complaint the hospital says that it sent
    them. A block that the hospital saw and that the chain lacks is a finding, and so is what it released of a
    masked round for another set than the ledger's, or for two, and a second statement of its labels. A last
    line that a crash cut short is noted: what it would have said never left the hospital.

    Args:
        path: of the journal.
        ledger: to hold it against.
        report: that findings and notes are added to.
        never_came: rounds, and hospitals that brought their updates themselves, which were excluded and whose
            bytes the store does not have.
        context_of: the context of an attempt at a masked round, by the ledger.
        stated: the labels that hospitals have stated, as bits, by seat, as rounds' configurations have them.

    Raises:
        StoreError: the file cannot be read.
    """
    journal, bad = _Journal(str(path), ledger, report, never_came, context_of, dict(stated)), 0
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
        journal.take(struct, where)
    journal.conclude()
    if bad > _SHOWN:
        report.find(str(path), "what a hospital signed", f"{bad - _SHOWN:,} more lines that are not")


@dataclass
class _Journal:
    """What the lines of a journal come to, once all of them are read."""

    path: str
    ledger: FederationViews
    report: AuditReport
    never_came: Collection[tuple[int, str]]
    context_of: ContextOf
    stated: dict[int, int]
    _left_out: dict[tuple[int, int], tuple[str, str, str]] = field(default_factory=dict)  # by round and seat
    _lost: dict[tuple[int, int], tuple[str, Complaint]] = field(default_factory=dict)  # by round and seat
    _seen: dict[SeenBlock, None] = field(default_factory=dict)
    _complaints: list[tuple[str, Complaint]] = field(default_factory=list)
    _contradictions: list[tuple[str, Contradiction]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._unmaskings = Unmaskings(self.ledger, self.report, self.context_of)
        self._missing = cache(lambda number: {one.seat: one for one in absences(self.ledger, number)})

    def take(self, struct: Struct, where: str) -> None:
        """One line, whose signature holds."""
        if not isinstance(struct, _HELD):
            return
        if struct.federation != self.ledger.federation or not self._is_member(struct.hospital):
            self.report.find(where, "a hospital of this federation", struct.hospital)
            return
        match struct:
            case Refusal():
                _check_refusal(struct, self.ledger, self.report, where)
            case Submission():
                self._take_submission(struct, where)
            case Unmasking():
                self._see(struct.hospital, struct.block, struct.block_hash)
                self._unmaskings.take(struct, where)
            case Labels():
                first = self.stated.setdefault(self.ledger.seat_of(struct.hospital), struct.labels)
                if first != struct.labels:
                    expected = f"one statement of its labels: {named_labels(first)}"
                    found = f"another one: {named_labels(struct.labels)}"
                    self.report.find(where, expected, found, hospital=struct.hospital)
            case Head():
                self._see(struct.hospital, struct.block, struct.block_hash)
            case Contradiction():
                self._see(struct.hospital, struct.block, struct.seen)
                self._see(struct.hospital, struct.head, struct.head_hash)
                self._contradictions.append((where, struct))
            case Complaint():
                self._see(struct.hospital, struct.block, struct.block_hash)
                self._complaints.append((where, struct))

    def conclude(self) -> None:
        """Report what only all lines together show."""
        lost = check_seen(self._seen, self.ledger, self.report, self.path)
        for where, said in self._contradictions:
            if not lost.keys() & {(said.block, said.seen), (said.head, said.head_hash)}:
                who = (
                    f"{said.hospital} says that the chain lacked block {said.block} as {said.witness} saw it"
                )
                self.report.notes.append(f"{where}: {who}; it has that block")
        for where, complaint in self._complaints:
            self._take_complaint(complaint, where, elsewhere=(complaint.block, complaint.block_hash) in lost)
        expected = "its update among those that the round accepted"
        for (number, _), (where, found, hospital) in self._left_out.items():
            self.report.find(where, expected, found, number, hospital)
        for where, unheard in self._lost.values():
            found = (
                "none, and it was excluded: the hospital, which brought it to the contract itself, states "
                "that it sent its bytes: the coordinator lost them, or they never came to it"
            )
            expected = f"the bytes of its update, {unheard.root.hex()}"
            self.report.find(where, expected, found, unheard.round, unheard.hospital)

    def _is_member(self, hospital: str) -> bool:
        """Under its present key or a former one."""
        try:
            self.ledger.seat_of(hospital)
        except ContractRejectedError:
            return False
        return True

    def _see(self, hospital: str, number: int, digest: bytes) -> None:
        self._seen[SeenBlock(hospital, number, digest)] = None

    def _take_submission(self, signed: Submission, where: str) -> None:
        if known := _left_out(signed, self.ledger, self._missing, self.report, where):
            why = "the coordinator kept back what it was sent, or it was lost on its way"
            place = signed.round, self.ledger.seat_of(signed.hospital)
            self._left_out.setdefault(place, (where, f"none; {known}: {why}", signed.hospital))

    def _take_complaint(self, said: Complaint, where: str, *, elsewhere: bool) -> None:
        told = f"{where}: round {said.round}: {said.hospital} complains that its update does not count"
        why = "it read another chain" if elsewhere else self._objection(said)
        if why:
            self.report.notes.append(f"{told}; {why}")
            return
        seat = self.ledger.seat_of(said.hospital)
        absence = self._missing(said.round).get(seat)
        if absence is None:
            self._lost[said.round, seat] = where, said
            return
        found = (
            f"none; {absence.known}: its hospital complains, having read the ledger "
            f"up to block {said.block}: the coordinator kept back what it was sent, or it was lost on its way"
        )
        self._left_out[said.round, seat] = where, found, said.hospital

    def _objection(self, said: Complaint) -> str:
        return objection(said, self.ledger, self._missing, self.never_came)


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


def _left_out(
    signed: Submission,
    ledger: FederationViews,
    missing: Callable[[int], Mapping[int, Absence]],
    report: AuditReport,
    where: str,
) -> str:
    """What is known of a signed update that a finalized round lacks; empty where that accuses nobody."""
    number, hospital = signed.round, signed.hospital
    accepted = {
        (values["hospital"], bytes(values["root"]))
        for values in ledger.round_events(number).of("UpdateAccepted")
    }
    if (hospital, signed.root) in accepted:
        return ""
    said = f"round {number}: {hospital} signed an update that the contract did not accept"
    if not 0 < number <= ledger.last_finalized:
        report.notes.append(f"{where}: {said}")
        return ""
    seat = ledger.seat_of(hospital)
    absence = missing(number).get(seat) or left_unasked(ledger, number, signed.attempt, seat)
    if absence is None and not has_update(ledger, number, hospital):
        report.notes.append(f"{where}: {said}, in an attempt that did not ask it")
        return ""
    if absence is None:
        if not ledger.recording.listed:  # which does not say of each whose root it is
            report.notes.append(f"{where}: {said}; another one of it is in the round")
        return ""
    if why := absence.cause or came_late(ledger, number, signed.root):
        report.notes.append(f"{where}: {said} ({why})")
        return ""
    return absence.known
