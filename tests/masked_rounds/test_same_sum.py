"""Further attempts at a masked round: what members say of earlier ones decides whether a seed is released."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from fedcxr.bench.secagg import Party
from fedcxr.errors import RuleError
from fedcxr.masked_rounds.same_sum import check_same_sum
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.privacy.secagg.header import HistoryEntry

FIRST = Party(5, 8).attempt  # m is 4: one may be missing
SECOND = replace(FIRST, attempt=2)
ALL, FOUR = (0, 1, 2, 3, 4), (0, 1, 2, 3)


def check(
    accepted: tuple[int, ...], said: Mapping[int, HistoryEntry], earlier: MaskedAttempt = FIRST
) -> None:
    histories = {seat: [said[seat]] if seat in said else [] for seat in accepted}
    check_same_sum(SECOND, accepted, histories, lambda attempt: earlier)


def sent(answered: tuple[int, ...] = ()) -> HistoryEntry:
    digest = FIRST.set_digest(answered) if answered else bytes(32)
    return HistoryEntry(1, FIRST.context, digest)


def test_the_same_set_is_summed_again_and_nothing_before_hinders_nobody() -> None:
    check(ALL, {})
    check(FOUR, {seat: sent() for seat in FOUR})
    check(FOUR, {0: sent(FOUR), 1: sent(), 2: sent(FOUR)})


@pytest.mark.parametrize("who", ALL)
def test_an_answer_for_another_set_halts_everyone(who: int) -> None:
    with pytest.raises(RuleError, match=rf"seat {who} has unmasked attempt 1 for another set"):
        check(ALL, {who: sent(FOUR)})


def test_the_same_set_with_another_weight_is_another_sum() -> None:
    heavier = tuple(replace(each, weight=each.weight + 1) for each in FIRST.participants)
    digest = replace(FIRST, participants=heavier).set_digest(ALL)
    with pytest.raises(RuleError, match="for another set"):
        check(ALL, {0: HistoryEntry(1, FIRST.context, digest)})


def test_who_was_shown_another_attempt_halts_everyone() -> None:
    with pytest.raises(RuleError, match="shown another attempt 1"):
        check(ALL, {3: HistoryEntry(1, bytes(32))})
    with pytest.raises(RuleError, match="which is none before"):
        check(ALL, {3: HistoryEntry(2, FIRST.context)})


def test_too_few_of_an_earlier_attempt_are_not_enough() -> None:
    """Of those with whom a member sent a vector, m − 1 must be back: others could know its seed's shares."""
    moved = tuple(replace(each, seat=each.seat + 10 * (each.seat > 2)) for each in FIRST.participants)
    others = replace(FIRST, participants=moved)  # seats 0, 1 and 2 took part, and two who are not in the set
    entry = HistoryEntry(1, others.context)
    with pytest.raises(RuleError, match=r"only 2 are in this set, where 3 must be"):
        check(ALL, {0: entry}, others)
    with pytest.raises(RuleError, match=r"only 2 are in this set, where 3 must be"):
        check(FOUR, {0: HistoryEntry(1, others.context)}, others)
