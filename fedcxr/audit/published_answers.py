"""The answers of hospitals in a file of seeds: who signed them, for which set, and whether they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from fedcxr.errors import FedcxrError, LedgerError
from fedcxr.ledger.seats import from_bitmap, to_bitmap
from fedcxr.ledger.signing import Domain, recover
from fedcxr.masked_rounds.answers import Answer, Answers, entries_of
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.privacy.secagg.header import MaskedHeader

SHOWN_ANOTHER = "its hospital was shown another chain, or lies"
"""What an answer for another set than the ledger's says of whoever signed it."""


class AnswerFault(NamedTuple):
    """What is wrong with an answer.

    Attributes:
        seat: of the hospital that is told by it; None where it blames nobody of the set.
        expected: instead of it.
        found: what is there.
    """

    seat: int | None
    expected: str
    found: str


def answer_faults(
    attempt: MaskedAttempt,
    accepted: Sequence[int],
    headers: Mapping[int, MaskedHeader],
    answers: Sequence[Answer],
    domain: Domain,
) -> Iterator[AnswerFault]:
    """Hold answers to their signatures, to the ledger's set and to the commitments.

    Args:
        attempt: which they say that they are for.
        accepted: the set, as the ledger has it.
        headers: of the updates in it, by seat; where one is not at hand, no entry is held to a commitment.
        answers: as they were published.
        domain: in which hospitals sign.
    """
    taken = Answers(attempt, tuple(accepted), headers, domain)
    whole = all(seat in headers for seat in accepted)
    for answer in answers:
        seat, said = answer.seat, answer.signed.message
        signer = _signer(answer, domain)
        if seat not in accepted or signer != said.hospital:
            told = "which is not in the set" if signer == said.hospital else f"signed by {signer}"
            yield AnswerFault(
                None,
                "what hospitals of the set have signed",
                f"an answer in the name of seat {seat}, {told}: the file is the coordinator's, and nobody of "
                "the set is blamed for it",
            )
            continue
        if said.accepted != to_bitmap(accepted):
            for_seats = f"{from_bitmap(said.accepted)!s:.300} at block {said.block}"
            expected = f"an answer for the ledger's set, seats {list(accepted)!s:.300}"
            yield AnswerFault(seat, expected, f"one for seats {for_seats}: {SHOWN_ANOTHER}")
            continue
        try:
            if whole:
                taken.take(answer)
            else:
                list(entries_of(attempt, seat, accepted, answer.entries))
        except FedcxrError as error:
            yield AnswerFault(seat, "an answer to this set", str(error))
    for fault in taken.faults:
        yield AnswerFault(fault.seat, "entries that fit the commitments", fault.what)


def _signer(answer: Answer, domain: Domain) -> str:
    try:
        return recover(answer.signed.message, answer.signed.signature, domain)
    except LedgerError:
        return "nobody"
