"""The federation at a glance: its rules, its state and its members."""

from __future__ import annotations

from collections.abc import Iterable

from fedcxr.indexer.members import MemberRecord
from fedcxr.indexer.overview import Overview
from fedcxr.ledger.bounds import UNBOUND, Bounds
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.recorded import Recorded
from fedcxr.report.ledger.words import NOTHING, Names, digest, ether, number, span, when
from fedcxr.report.tables import Table, count


def federation_lines(overview: Overview, contract: str, chain_id: int) -> list[tuple[str, str]]:
    """The federation's identity, rules and present state, as pairs of a name and a value."""
    founding, totals = overview.founding, overview.totals
    committee = founding["committeeSize"]
    judged = (
        f"{committee} validators a round, {(2 * committee + 1) // 3} must approve, "
        f"{span(founding['validationWindow'])} to judge"
        if committee
        else "none: what is accepted counts"
    )
    bounds = Bounds.from_tuple([*founding["bounds"].values()]) if "bounds" in founding else UNBOUND
    recording = Recorded(founding["recording"])
    released = "" if overview.pledged or not overview.bond else ", its release announced"
    return [
        ("federation", overview.federation.hex()),
        ("contract", contract),
        ("court", overview.court),
        ("chain", f"id {chain_id}, read to block {overview.head.number:,} of {when(overview.head.time)} UTC"),
        ("founded", f"{when(overview.founded.time)} UTC, block {overview.founded.number:,}"),
        ("coordinator", overview.coordinator),
        ("weighting", f"by {founding['weighting']}" if founding["weighting"] == "samples" else "uniform"),
        (
            "admission",
            f"by {'vote of the hospitals' if founding['admission'] == 'vote' else 'the coordinator'}",
        ),
        ("recording", f"{recording.said}; updates are {'open' if founding['openUpdates'] else 'sealed'}"),
        ("validation", judged),
        ("bounds", str(bounds)),
        ("quorum", f"{count(founding['minUpdates'] or 1, 'update')} a round"),
        ("rewards", f"{founding['rewardBudget']:,} credits a round" if founding["rewardBudget"] else "none"),
        ("bond", f"{ether(overview.bond)}{released}; needed: {ether(founding['minimumBond'])}"),
        ("disputes", f"within {span(founding['disputeWindow'])} of finalizing"),
        ("latest round", _latest(overview)),
        (
            "so far",
            f"{count(totals.finalized, 'round')} finalized, {totals.aborted:,} given up; updates: "
            f"{totals.accepted:,} accepted, {totals.rejected:,} rejected, {totals.excluded:,} excluded",
        ),
        (
            "",
            f"{count(totals.attested, 'attestation')}; {count(totals.base_refused, 'base')} refused; "
            f"{totals.credits:,} credits; {count(totals.disputes, 'dispute')} upheld",
        ),
    ]


def member_table(members: Iterable[MemberRecord], names: Names) -> Table:
    """The table of members, a row for each seat."""
    rows = []
    for member in members:
        rows.append(
            (
                str(member.seat),
                names(member.account),
                member.account,
                ", ".join(member.roles),
                number(member.samples) if member.samples else NOTHING,
                member.standing,
                str(member.joined),
            )
        )
    return Table(
        title="Members",
        header=("seat", "name", "account", "roles", "samples", "standing", "block"),
        rows=tuple(rows),
        words=(1, 2, 3, 5),
    )


def _latest(overview: Overview) -> str:
    record = overview.latest
    if record is None:
        return "none was opened yet"
    attempt = f", attempt {record.attempt}" if record.attempt > 1 else ""
    text = (
        f"{record.number}{attempt}: {record.phase}, opened {when(record.opened.time)} UTC; "
        f"{len(record.accepted)} of {len(record.weights)} updates"
    )
    if record.phase == RoundPhase.OPEN:
        return f"{text}, until {when(record.deadline)}"
    return f"{text}; model {digest(record.model_digest)}" if record.model_digest else text
