"""Rounds as the index has them: one record an attempt."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from fedcxr import json_text
from fedcxr.indexer.index_file import IndexFile
from fedcxr.indexer.members import Members
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.seats import from_bitmap


@dataclass(frozen=True)
class Moment:
    """When something was put on the chain."""

    block: int
    time: int
    transaction: bytes


@dataclass(frozen=True)
class Rejection:
    """A submission that the contract did not take. Whoever sent it may have used another's name."""

    hospital: str
    root: bytes
    reason: Mapping[str, Any]
    at: Moment


@dataclass
class RoundRecord:
    """One attempt at a round.

    Attributes:
        number, attempt: 1-based.
        phase: the last that it reached.
        weights, accounts: of the participants at the opening, by seat.
        accepted: seats; ``counted`` those that validation let through, ``included`` those in the aggregate,
            each None before it is decided.
        excluded: seat to the coordinator's reason.
        rejections: of submissions in batches.
        committee: addresses of the validators drawn.
        submissions_root, list_root: where one root records all.
        credits: by seat; None before they are given.
        aborted_by, abort_reason: None unless it was.
        disputes: names of the court's events about this round.
    """

    number: int
    attempt: int
    phase: RoundPhase
    base: bytes
    config_digest: bytes
    deadline: int
    weights: dict[int, int]
    accounts: dict[int, str]
    opened: Moment
    accepted: set[int] = field(default_factory=set)
    closed: Moment | None = None
    counted: set[int] | None = None
    included: set[int] | None = None
    excluded: dict[int, str] = field(default_factory=dict)
    finalized: Moment | None = None
    aggregate_root: bytes | None = None
    model_digest: bytes | None = None
    rejections: list[Rejection] = field(default_factory=list)
    committee: tuple[str, ...] = ()
    submissions_root: bytes | None = None
    list_root: bytes | None = None
    credits: dict[int, int] | None = None
    aborted: Moment | None = None
    aborted_by: str | None = None
    abort_reason: str | None = None
    disputes: list[str] = field(default_factory=list)


def read_rounds(
    index: IndexFile, members: Members, first: int = 1, last: int | None = None
) -> list[RoundRecord]:
    """Every attempt at the rounds of a range, in the chain's order."""
    asked = "e.round BETWEEN ? AND ?"
    bounds = (first, 2**62 if last is None else last)

    def rows(name: str) -> list[sqlite3.Row]:
        return index.select(name, asked, bounds)

    records = {(row["round"], row["attempt"]): _opened(row) for row in rows("RoundOpened")}

    def each(name: str) -> list[tuple[RoundRecord, sqlite3.Row]]:
        found = ((records.get((row["round"], row["attempt"])), row) for row in rows(name))
        return [(record, row) for record, row in found if record is not None]

    _fill_updates(index, members, records, bounds)
    for record, row in each("UpdateRejected"):
        reason = json_text.parse(row["reason"])
        record.rejections.append(Rejection(row["hospital"], row["root"], reason, moment(row)))
    for record, row in each("CommitteeDrawn"):
        record.committee = tuple(json_text.parse(row["validators"]))
    for record, row in each("SubmissionsCommitted"):
        record.submissions_root, record.list_root = row["submissionsRoot"], row["listRoot"]
    for record, row in each("RoundClosed"):
        record.phase, record.closed = RoundPhase.CLOSED, moment(row)
        record.accepted = set(seats_of(row["accepted"]))
    for record, row in each("RoundValidated"):
        record.phase, record.counted = RoundPhase.VALIDATED, set(seats_of(row["counted"]))
    for record, row in each("UpdateExcluded"):
        record.excluded[members.seat_of[row["hospital"]]] = row["reason"]
    for record, row in each("RoundFinalized"):
        record.phase, record.finalized = RoundPhase.FINALIZED, moment(row)
        record.included = set(seats_of(row["included"]))
        record.aggregate_root, record.model_digest = row["aggregateRoot"], row["modelDigest"]
    for record, row in each("RoundAborted"):
        record.phase, record.aborted = RoundPhase.ABORTED, moment(row)
        record.aborted_by, record.abort_reason = row["by"], row["reason"]
    for record, row in each("RewardsSettled"):
        record.credits = (record.credits or {}) | credits_of(row)
    finalized = {record.number: record for record in records.values() if record.phase == RoundPhase.FINALIZED}
    for name in ("AggregateDisputed", "SubmissionDisputed", "BondSlashed"):
        for row in rows(name):
            if row["round"] in finalized:
                finalized[row["round"]].disputes.append(name)
    return list(records.values())


@lru_cache(maxsize=4096)  # the same hospitals take part in most rounds
def seats_of(bitmap: int | str) -> tuple[int, ...]:
    """The seats of a set, ascending; the index keeps large ones as text."""
    return tuple(from_bitmap(int(bitmap)))


def credits_of(row: sqlite3.Row) -> dict[int, int]:
    """The credits of one event ``RewardsSettled`` by seat: of a round, or of a word of its seats."""
    return dict(zip(seats_of(row["included"]), json_text.parse(row["credits"]), strict=True))


def moment(row: sqlite3.Row) -> Moment:
    return Moment(row["block"], row["time"], row["tx"])


def _opened(row: sqlite3.Row) -> RoundRecord:
    seats = seats_of(row["seats"])
    return RoundRecord(
        number=row["round"],
        attempt=row["attempt"],
        phase=RoundPhase.OPEN,
        base=row["baseDigest"],
        config_digest=row["configDigest"],
        deadline=row["deadline"],
        weights=dict(zip(seats, json_text.parse(row["weights"]), strict=True)),
        accounts=dict(zip(seats, json_text.parse(row["participants"]), strict=True)),
        opened=moment(row),
    )


def _fill_updates(
    index: IndexFile,
    members: Members,
    records: Mapping[tuple[int, int], RoundRecord],
    bounds: tuple[int, int],
) -> None:
    """Who is accepted in rounds that were never closed; the closing of the others says it."""
    where = (
        'e.round BETWEEN ? AND ? AND NOT EXISTS (SELECT 1 FROM "RoundClosed" c '
        "WHERE c.round = e.round AND c.attempt = e.attempt)"
    )
    for row in index.select("UpdateAccepted", where, bounds):
        if (record := records.get((row["round"], row["attempt"]))) is not None:
            record.accepted.add(members.seat_of[row["hospital"]])
