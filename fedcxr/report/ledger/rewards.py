"""Contribution credits by hospital and round."""

from __future__ import annotations

from collections.abc import Sequence

from fedcxr.indexer.members import Members
from fedcxr.indexer.rewards import Rewards
from fedcxr.report.ledger.words import NOTHING, Names
from fedcxr.report.tables import Table, count

_COLUMNS = 6  # rounds that fit beside names and totals in a terminal of 100


def reward_table(
    rewards: Rewards, members: Members, names: Names, shown: Sequence[int] | None = None
) -> Table:
    """The table of credits: a row for each hospital, a column for each round shown, one for all others."""
    settled = sorted(rewards.by_round)
    columns = [n for n in settled if shown is None or n in shown][-_COLUMNS:]
    others = [number for number in settled if number not in columns]
    seats = [m for m in members if "hospital" in m.roles or rewards.totals[m.seat]]
    rows = []
    for member in seats:
        given = [rewards.by_round[number].get(member.seat) for number in columns]
        rest = sum(rewards.by_round[number].get(member.seat, 0) for number in others)
        rows.append(
            (
                names(member.account),
                *((f"{rest:,}",) if others else ()),
                *(NOTHING if amount is None else f"{amount:,}" for amount in given),
                f"{rewards.totals[member.seat]:,}",
            )
        )
    sums = [sum(rewards.by_round[number].values()) for number in columns]
    rest = sum(sum(rewards.by_round[number].values()) for number in others)
    rows.append(("all", *((f"{rest:,}",) if others else ()), *(f"{s:,}" for s in sums), f"{rewards.total:,}"))
    return Table(
        title="Contribution credits",
        header=(
            "hospital",
            *((f"{count(len(others), 'other')}",) if others else ()),
            *(f"round {number}" for number in columns),
            "all",
        ),
        rows=tuple(rows),
    )


def reward_verdicts(rewards: Rewards) -> list[tuple[bool, str]]:
    """Sentences that say whether the credits sum to what the contract gives out."""
    settled = len(rewards.by_round)
    budget = f"{rewards.budget:,} × {count(settled, 'settled round')}"
    if rewards.exact:
        sums = f"Σ = {rewards.total:,} = {budget}, exactly"
    else:
        wrong = ", ".join(map(str, rewards.wrong_rounds[:10]))
        sums = f"Σ = {rewards.total:,}, where {budget} is due; rounds that do not add up: {wrong}"
    agrees = "the contract's own sums, by seat, are the same"
    if not rewards.agrees:
        differ = [s for s in rewards.totals if rewards.totals[s] != rewards.contract.get(s)]
        agrees = f"the contract's own sums are others at seats {', '.join(map(str, differ))}"
    return [(rewards.exact, sums), (rewards.agrees, agrees)]
