"""One hospital's part in every round, and one update of it with all that was said of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fedcxr import json_text
from fedcxr.errors import LedgerError
from fedcxr.indexer.index_file import IndexFile
from fedcxr.indexer.members import MemberRecord, Members
from fedcxr.indexer.rounds import Moment, Rejection, RoundRecord, moment, read_rounds
from fedcxr.ledger.phase import RoundPhase

State = Literal[
    "not asked",
    "waiting",
    "no update",
    "rejected",
    "accepted",
    "not counted",
    "excluded",
    "included",
    "given up",
]


@dataclass(frozen=True)
class Part:
    """What a hospital was in one attempt at a round.

    Attributes:
        state: where its update ended; ``given up`` is accepted in an attempt that was aborted.
        weight: None where it was not asked.
        samples, size: of the accepted update.
        reason: of an exclusion, in the coordinator's words.
        rejections: custom errors by name and arguments.
        score: median of the committee's, 1/10,000; None without a verdict.
        approvals, rejected_by: validators.
        credits: None before they are given.
        refused: digests that it says it was handed instead of the round's base.
    """

    round: int
    attempt: int
    phase: str
    state: State
    opened: Moment
    weight: int | None = None
    samples: int | None = None
    size: int | None = None
    accepted: Moment | None = None
    reason: str | None = None
    rejections: tuple[Rejection, ...] = ()
    score: int | None = None
    approvals: int | None = None
    rejected_by: int | None = None
    credits: int | None = None
    refused: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class AttestationRecord:
    """A validator's verdict; the score in 1/10,000."""

    validator: str
    accepted: bool
    score: int
    signature: bytes
    at: Moment


@dataclass(frozen=True)
class UpdateRecord:
    """All that the ledger says of one accepted update.

    Attributes:
        federation, round, attempt, hospital, base, root, samples, size, metrics: what the hospital signed.
        signature: 65 bytes, by the hospital.
        at: where it was accepted; where one root records all, where that was put on the chain.
        weight: by the contract.
        attestations: of the validators.
        part: what became of it.
    """

    federation: bytes
    round: int
    attempt: int
    hospital: str
    base: bytes
    root: bytes
    samples: int
    size: int
    metrics: bytes
    signature: bytes
    at: Moment
    weight: int
    attestations: tuple[AttestationRecord, ...]
    part: Part


def read_hospital(
    index: IndexFile, members: Members, member: MemberRecord, first: int = 1, last: int | None = None
) -> list[Part]:
    """A hospital's part in every attempt that was opened since it joined."""
    own = _Own(index, member, first, last)
    records = read_rounds(index, members, first, last)
    return [own.part(record) for record in records if record.opened.block >= member.joined]


def read_update(
    index: IndexFile, members: Members, member: MemberRecord, number: int, fetch: Callable[[bytes], bytes]
) -> list[UpdateRecord]:
    """A hospital's accepted updates of a round: one, or none, an attempt.

    Args:
        index, members: of the federation.
        member: the hospital.
        number: of the round.
        fetch: the blob under a root; asked where one root records all, for the list under it.

    Raises:
        LedgerError: there was no such round, or nothing was accepted from it, with what happened instead; or
            the list in the store is not the one that the contract's root holds.
        StoreError: it cannot be fetched.
    """
    own = _Own(index, member, number, number)
    records = {record.attempt: record for record in read_rounds(index, members, number, number)}
    if not records:
        raise LedgerError(f"round {number} was never opened.")
    updates = [own.update(records[attempt], row) for (_, attempt), row in own.updates.items()]
    told = {update.attempt for update in updates}
    for attempt, record in records.items():
        if attempt not in told and record.list_root is not None and member.seat in record.accepted:
            updates.append(own.listed(record, members, fetch(record.list_root)))
    if not updates:
        part = own.part(records[max(records)])
        why = "; ".join(error_text(rejection.reason) for rejection in part.rejections)
        became = f"{part.state}: {why}" if why else part.state
        raise LedgerError(f"round {number} has no accepted update of {member.account}: {became}.")
    return sorted(updates, key=lambda update: update.attempt)


def error_text(reason: Mapping[str, Any]) -> str:
    """``DeadlinePassed(deadline=1700000000)``."""
    arguments = ", ".join(f"{name}={value}" for name, value in reason["arguments"].items())
    return f"{reason['error']}({arguments})"


class _Own:
    """The events of one hospital, by round and attempt."""

    def __init__(self, index: IndexFile, member: MemberRecord, first: int, last: int | None) -> None:
        self._member = member
        places = ", ".join("?" * len(member.accounts))
        where = f"e.round BETWEEN ? AND ? AND e.hospital IN ({places})"
        parameters: Sequence[object] = (first, 2**62 if last is None else last, *member.accounts)

        def rows(name: str) -> list[sqlite3.Row]:
            return index.select(name, where, parameters)

        self.updates = {(row["round"], row["attempt"]): row for row in rows("UpdateAccepted")}
        self._verdicts = {(row["round"], row["attempt"]): row for row in rows("UpdateValidated")}
        self._refusals = rows("BaseRefused")
        self._rows = rows
        self._federation = bytes(index.select("FederationCreated")[0]["federation"])

    def part(self, record: RoundRecord) -> Part:
        seat, key = self._member.seat, (record.number, record.attempt)
        update, verdict = self.updates.get(key), self._verdicts.get(key)
        tally = json_text.parse(verdict["tally"]) if verdict else {}
        rejections = tuple(r for r in record.rejections if r.hospital in self._member.accounts)
        return Part(
            round=record.number,
            attempt=record.attempt,
            phase=record.phase,
            state=_state(record, seat, bool(rejections)),
            opened=record.opened,
            weight=record.weights.get(seat),
            samples=int(update["samples"]) if update else None,
            size=int(update["size"]) if update else None,
            accepted=moment(update) if update else None,
            reason=record.excluded.get(seat),
            rejections=rejections,
            score=tally.get("score"),
            approvals=tally.get("approvals"),
            rejected_by=tally.get("rejections"),
            credits=None if record.credits is None else record.credits.get(seat, 0),
            refused=tuple(row["seen"] for row in self._refusals if (row["round"], row["attempt"]) == key),
        )

    def update(self, record: RoundRecord, row: sqlite3.Row) -> UpdateRecord:
        """An update that the contract took by itself, from its event."""
        return UpdateRecord(
            federation=self._federation,
            round=record.number,
            attempt=record.attempt,
            hospital=row["hospital"],
            base=record.base,
            root=row["root"],
            samples=int(row["samples"]),
            size=int(row["size"]),
            metrics=row["metrics"],
            signature=row["signature"],
            at=moment(row),
            weight=record.weights[self._member.seat],
            attestations=self.attestations(record.attempt),
            part=self.part(record),
        )

    def listed(self, record: RoundRecord, members: Members, data: bytes) -> UpdateRecord:
        """An update from the list of a round, once that is the one under the contract's root."""
        from fedcxr.indexer.round_list import read_list

        submissions = read_list(record, members, data)
        own = [signed for signed in submissions if signed.message.hospital in self._member.accounts]
        if not own:
            raise LedgerError(
                f"round {record.number}: the list of the store does not hold {self._member.account}."
            )
        message, part = own[0].message, self.part(record)
        return UpdateRecord(
            federation=message.federation,
            round=message.round,
            attempt=message.attempt,
            hospital=message.hospital,
            base=message.base,
            root=message.root,
            samples=message.samples,
            size=message.size,
            metrics=message.metrics,
            signature=own[0].signature,
            at=record.closed or record.opened,
            weight=record.weights[self._member.seat],
            attestations=(),
            part=part,
        )

    def attestations(self, attempt: int) -> tuple[AttestationRecord, ...]:
        """The verdicts on its update of an attempt."""
        return tuple(
            AttestationRecord(
                row["validator"], bool(row["accepted"]), row["score"], row["signature"], moment(row)
            )
            for row in self._rows("UpdateAttested")
            if row["attempt"] == attempt
        )


def _state(record: RoundRecord, seat: int, rejected: bool) -> State:
    if seat not in record.weights:
        return "not asked"
    if seat not in record.accepted:
        over = record.phase != RoundPhase.OPEN
        return "rejected" if rejected else "no update" if over else "waiting"
    if record.phase == RoundPhase.ABORTED:
        return "given up"
    if record.counted is not None and seat not in record.counted:
        return "not counted"
    if record.included is None:
        return "accepted"
    return "included" if seat in record.included else "excluded"
