"""Tables of rounds, and of one hospital's part in them."""

from __future__ import annotations

from collections.abc import Sequence

from fedcxr.indexer.hospital import Part, UpdateRecord
from fedcxr.indexer.members import MemberRecord
from fedcxr.indexer.rounds import RoundRecord
from fedcxr.report.ledger.words import NOTHING, Names, digest, error, gain, number, span, when
from fedcxr.report.tables import Table, count


def attempt_table(records: Sequence[RoundRecord], names: Names, notes: tuple[str, ...] = ()) -> Table:
    """The table of rounds, a row for each attempt; rejections have a column where there are any."""
    rejected = any(record.rejections for record in records)
    rows = tuple(
        (
            _title(record.number, record.attempt),
            record.phase,
            f"{len(record.accepted)} of {len(record.weights)}",
            *((str(len(record.rejections)),) if rejected else ()),
            _included(record),
            digest(record.model_digest),
            when(record.opened.time)[:-3],
            _duration(record),
        )
        for record in records
    )
    remarks = [remark for record in records for remark in _remarks(record, names)]
    columns = ("included", "model", "opened, UTC", "took")
    return Table(
        title="Rounds",
        header=("round", "phase", "accepted", *(("rejected",) if rejected else ()), *columns),
        rows=rows,
        notes=(*notes, *remarks),
    )


def part_table(parts: Sequence[Part], names: Names, notes: tuple[str, ...] = ()) -> Table:
    """The table of one hospital's rounds, a row for each attempt at a round."""
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
                _title(part.round, part.attempt),
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


def membership_table(member: MemberRecord) -> Table:
    """The table of what happened to one hospital's membership."""
    return Table(
        title="Membership",
        header=("what", "account", "block", "time (UTC)"),
        rows=tuple((c.what, c.account, f"{c.block:,}", when(c.time)) for c in member.changes),
        words=(1,),
    )


def update_lines(update: UpdateRecord, names: Names) -> list[tuple[str, str]]:
    """What a hospital signed of an update, its block, and its outcome, as pairs of a name and a value."""
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
    """The table of the validators' verdicts on an update."""
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
    """The outcome of an update in words, with the reasons."""
    said: list[str] = [part.state]
    if part.reason is not None:
        said[0] += f": {part.reason}"
    said += [f"rejected: {error(rejection.reason, names)}" for rejection in part.rejections]
    if part.state == "rejected":
        said = said[1:]
    said += [f"refused another base, {digest(seen)}" for seen in part.refused]
    return "; ".join(said)


def _title(number: int, attempt: int) -> str:
    """The name of an attempt: ``3``, and where the round was opened again ``3, attempt 2``."""
    return f"{number}, attempt {attempt}" if attempt > 1 else str(number)


def _included(record: RoundRecord) -> str:
    """How many of the updates that count are in the aggregate."""
    if record.included is None:
        return NOTHING if record.counted is None else f"– of {len(record.counted)}"
    return f"{len(record.included)} of {len(record.counted or ())}"


def _duration(record: RoundRecord) -> str:
    """How long an attempt took, from its opening to its end."""
    end = record.finalized or record.aborted
    return NOTHING if end is None else span(end.time - record.opened.time)


def _remarks(record: RoundRecord, names: Names) -> list[str]:
    """The remarks under the table, on what a row has no room for."""
    where = f"round {_title(record.number, record.attempt)}"
    remarks = []
    if record.aborted_by is not None:
        remarks.append(f"{where} was given up by {names(record.aborted_by)}: {record.abort_reason or ''}")
    remarks += [
        f"{where} excluded {names(record.accounts.get(seat, ''))}: {reason}"
        for seat, reason in record.excluded.items()
    ]
    if record.disputes:
        remarks.append(f"{where} was disputed: {', '.join(record.disputes)}")
    kinds: dict[str, int] = {}
    for rejection in record.rejections:
        kinds[rejection.reason["error"]] = kinds.get(rejection.reason["error"], 0) + 1
    if kinds:
        shown = ", ".join(f"{kind} ×{times}" if times > 1 else kind for kind, times in sorted(kinds.items()))
        remarks.append(f"{where} rejected {count(len(record.rejections), 'submission')}: {shown}")
    return remarks
