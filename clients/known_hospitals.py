"""The hospitals of a masked round that a hospital knows from people: ``limits.known`` of its own settings.

The coordinator can invent hospitals where it admits members. An account says of itself nothing; that it is a
certain institution's, only people can tell. One that a known account was rotated to, under its signature, is
known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fedcxr.errors import RuleError
from fedcxr.masked_rounds.attempts import SignedSeat
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.store.hospital_settings import HospitalLimits


def check_participants(
    limits: HospitalLimits, attempt: MaskedAttempt, seat: int, seats: Mapping[int, SignedSeat]
) -> None:
    """See that an attempt has no more strangers than may collude, and as many known ones as are asked for.

    Args:
        limits: of the hospital; without a list nothing is looked at.
        attempt: as the ledger has it.
        seat: of the hospital, which is no stranger to itself.
        seats: every seat at the opening, as its member signed for it.

    Raises:
        RuleError: it has, or one that the hospital knows is not on the ledger at all.
    """
    if limits.known is None:
        return
    where, listed = f"round {attempt.round}", {account.lower() for account in limits.known}
    on_ledger = {account.lower() for each in seats.values() for account in each.accounts}
    if hidden := sorted(listed - on_ledger):
        raise RuleError(f"{where}: {', '.join(hidden)[:400]} of limits.known are not on the ledger.")
    known = _known(limits.known, seats)
    strangers = [each for each in attempt.participants if each.seat not in {*known, seat}]
    if len(strangers) > attempt.numbers.colluders:
        raise RuleError(
            f"{where}: {len(strangers)} participants are not in limits.known, and at most "
            f"{attempt.numbers.colluders} may collude: {', '.join(each.account for each in strangers)[:400]}."
        )
    check_known_least(limits, where, seat, seats, attempt.seats)


def check_known_least(
    limits: HospitalLimits,
    where: str,
    seat: int,
    seats: Mapping[int, SignedSeat],
    among: Collection[int],
) -> None:
    """See that among participants, or the members of a set, are as many known ones as the hospital asks for.

    Args:
        limits: of the hospital.
        where: round and attempt, for the error.
        seat: of the hospital, which does not count.
        seats: every seat at the opening, as its member signed for it.
        among: seats.

    Raises:
        RuleError: there are fewer.
    """
    if limits.known is None or limits.known_least is None:
        return
    there = len((_known(limits.known, seats) & set(among)) - {seat})
    if there < limits.known_least:
        raise RuleError(
            f"{where}: {there} of the other hospitals in it are in limits.known, and limits.known_least asks "
            f"for {limits.known_least}."
        )


def _known(listed: Collection[str], seats: Mapping[int, SignedSeat]) -> set[int]:
    """The seats of listed accounts, and of those that they were rotated to."""
    wanted = {account.lower() for account in listed}
    return {each.seat for each in seats.values() if wanted & {account.lower() for account in each.accounts}}
