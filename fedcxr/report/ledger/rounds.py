"""Rounds, and one hospital's part in them."""

from __future__ import annotations

from collections.abc import Sequence

from fedcxr.ledger.index.hospital import Part, UpdateRecord
from fedcxr.ledger.index.members import Member
from fedcxr.ledger.index.rounds import RoundRecord
from fedcxr.report.ledger.words import NOTHING, Names, digest, error, gain, number, plain, when
from fedcxr.report.tables import Table, count


def round_table(records: Sequence[RoundRecord], names: Names, notes: tuple[str, ...] = ()) -> Table:
    """A row an attempt; columns in which nothing would stand are left out."""
    judged = any(record.committee for record in records)
    repeated = any(record.attempt > 1 for record in records)
    rows = []
    remarks = []
    for record in records:
        excluded = f" (−{len(record.excluded)})" if record.excluded else ""
        rows.append(
            (
                str(record.number),
                *((str(record.attempt),) if repeated else ()),
                record.phase + ("!" if record.disputes else ""),
                str(len(record.weights)),
                str(len(record.accepted)),
                str(len(record.rejections)),
                *((_size(record.counted),) if judged else ()),
                _size(record.included) + excluded,
                digest(record.model_digest),
                when(record.opened.time),
                _ended(record),
            )
        )
        remarks += _remarks(record, names)
    return Table(
        title="Rounds",
        header=(
            "round",
            *(("attempt",) if repeated else ()),
            "phase",
            "asked",
            "accepted",
            "rejected",
            *(("counted",) if judged else ()),
            "included",
            "model",
            "opened (UTC)",
            "ended",
        ),
        rows=tuple(rows),
        notes=(*notes, *remarks),
    )


def part_table(parts: Sequence[Part], names: Names, notes: tuple[str, ...] = ()) -> Table:
    """A row an attempt at a round."""
    return Table(
        title="In every round",
        header=(
            "round",
            "what became of its update",
            "weight",
            "samples",
            "score",
            "credits",
            "opened (UTC)",
        ),
        rows=tuple(
            (
                f"{part.round}" + (f", attempt {part.attempt}" if part.attempt > 1 else ""),
                became(part, names),
                number(part.weight),
                number(part.samples),
                gain(part.score),
                number(part.credits),
                when(part.opened.time),
            )
            for part in parts
        ),
        notes=notes,
        words=(1,),
    )


def membership_table(member: Member) -> Table:
    """What happened to a membership."""
    return Table(
        title="Membership",
        header=("what", "account", "block", "time (UTC)"),
        rows=tuple((c.what, c.account, f"{c.block:,}", when(c.time)) for c in member.changes),
        words=(1,),
    )


def update_lines(update: UpdateRecord, names: Names) -> list[tuple[str, str]]:
    """What was signed, where it stands, and what became of it: names and values."""
    lines = [
        ("federation", update.federation.hex()),
        ("round", f"{update.round}, attempt {update.attempt}"),
        ("hospital", f"{update.hospital} ({names(update.hospital)})"),
        ("base", update.base.hex()),
        ("root", update.root.hex()),
        ("samples", number(update.samples)),
        ("size", f"{update.size:,} bytes"),
        ("metrics", update.metrics.hex()),
        ("signature", update.signature.hex()),
        ("block", f"{update.at.block:,}, {when(update.at.time)} UTC"),
        ("transaction", "0x" + update.at.transaction.hex()),
        ("weight", number(update.weight)),
    ]
    part = update.part
    if part.approvals is not None:
        verdict = f"{part.approvals} approve, {part.rejected_by} do not, score {gain(part.score)}"
        lines.append(("verdict", verdict))
    lines.append(("became", became(part, names)))
    lines.append(("credits", number(part.credits)))
    return lines


def attestation_table(update: UpdateRecord, names: Names) -> Table:
    """The validators' verdicts."""
    return Table(
        title="Attestations",
        header=("validator", "verdict", "score", "block", "time (UTC)"),
        rows=tuple(
            (
                names(a.validator),
                "approves" if a.accepted else "rejects",
                gain(a.score),
                f"{a.at.block:,}",
                when(a.at.time),
            )
            for a in update.attestations
        ),
        words=(1,),
    )


def became(part: Part, names: Names) -> str:
    """In words, with the reasons."""
    said: list[str] = [part.state]
    if part.reason is not None:
        said[0] += f": {plain(part.reason)}"
    said += [f"rejected: {error(rejection.reason, names)}" for rejection in part.rejections]
    if part.state == "rejected":
        said = said[1:]
    said += [f"refused another base, {digest(seen)}" for seen in part.refused]
    return "; ".join(said)


def _size(seats: set[int] | None) -> str:
    return NOTHING if seats is None else str(len(seats))


def _ended(record: RoundRecord) -> str:
    """When it was finalized or given up; the time alone where the day is that of the opening."""
    end = record.finalized or record.aborted
    if end is None:
        return NOTHING
    text = when(end.time)
    return text[11:] if text[:10] == when(record.opened.time)[:10] else text


def _remarks(record: RoundRecord, names: Names) -> list[str]:
    """What a row has no room for."""
    where = f"round {record.number}" + (f", attempt {record.attempt}" if record.attempt > 1 else "")
    remarks = []
    if record.aborted_by is not None:
        remarks.append(
            f"{where} was given up by {names(record.aborted_by)}: {plain(record.abort_reason or '')}"
        )
    if record.disputes:
        remarks.append(f"{where} was disputed: {', '.join(record.disputes)}")
    kinds: dict[str, int] = {}
    for rejection in record.rejections:
        kinds[rejection.reason["error"]] = kinds.get(rejection.reason["error"], 0) + 1
    if kinds:
        shown = ", ".join(f"{kind} ×{times}" if times > 1 else kind for kind, times in sorted(kinds.items()))
        remarks.append(f"{where} rejected {count(len(record.rejections), 'submission')}: {shown}")
    return remarks
