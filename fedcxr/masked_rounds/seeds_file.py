"""The seeds of a round that was unmasked, as they are published: everybody checks the sum by them.

Which seeds are due follows from the ledger and never from the file. The reader makes the bytes anew from what
it read, and they must be the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from fedcxr import json_text
from fedcxr.errors import FederationError
from fedcxr.ledger.seats import from_bitmap
from fedcxr.ledger.signed_json import hash_of, object_of, octets
from fedcxr.ledger.signing import LONGEST_SIGNATURE, Signed
from fedcxr.masked_rounds.answers import ENTRY, Answer, Seeds, statement
from fedcxr.privacy.secagg.attempt import MaskedAttempt

FORMAT = "fedcxr/seeds/1"
LONGEST = 8 << 20
"""Bytes of the file; of fifty hospitals with sixteen missing it has some 200,000."""


@dataclass(frozen=True)
class SeedsFile:
    """What is published of a masked round.

    Attributes:
        attempt: of the round.
        accepted: the set whose sum was unmasked, rising.
        seeds: of its masks.
        answers: of the hospitals, rising by seat; also those that were found wrong.
    """

    attempt: MaskedAttempt
    accepted: tuple[int, ...]
    seeds: Seeds
    answers: tuple[Answer, ...]

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        attempt = self.attempt
        tree = {
            "format": FORMAT,
            "federation": attempt.federation.hex(),
            "round": attempt.round,
            "attempt": attempt.attempt,
            "context": attempt.preimage.hex(),
            "self": [[seat, seed.hex()] for seat, seed in sorted(self.seeds.own.items())],
            "pairs": [[i, j, seed.hex()] for (i, j), seed in sorted(self.seeds.pairs.items())],
            "answers": answers_tree(self.answers),
        }
        return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes, attempt: MaskedAttempt, accepted: Sequence[int]) -> Self:
        """Read :meth:`to_bytes` back; whether seeds and signatures hold is not looked at.

        Args:
            data: as it was published.
            attempt: as the ledger has it.
            accepted: the set, as the ledger has it.

        Raises:
            FederationError: it is no such file of this attempt and this set.
        """
        names = ("answers", "attempt", "context", "federation", "format", "pairs", "round", "self")
        try:
            found = object_of("seeds", json_text.parse(data, LONGEST), *names)
        except ValueError as error:
            raise FederationError(f"seeds: not JSON: {error}") from None
        own = dict(_own(found["self"]))
        pairs = dict(_pairs(found["pairs"]))
        missing = [seat for seat in attempt.seats if seat not in accepted]
        if set(own) != set(accepted) or set(pairs) != {(i, j) for i in accepted for j in missing}:
            raise FederationError("seeds: they are not those of the set that the ledger has.")
        answers = tuple(answers_of(found["answers"], attempt))
        made = cls(attempt, tuple(sorted(accepted)), Seeds(own, pairs), answers)
        if made.to_bytes() != data:
            raise FederationError("seeds: not in the one form that they have, or of another attempt.")
        return made


def answers_tree(answers: Iterable[Answer]) -> list[Any]:
    """Answers as JSON has them; federation, round, attempt, account and context are not repeated."""
    return [_answer_tree(answer) for answer in answers]


def _answer_tree(answer: Answer) -> list[Any]:
    message = answer.signed.message
    return [
        answer.seat,
        message.accepted.to_bytes(32).hex(),
        message.block,
        message.block_hash.hex(),
        answer.entries.hex(),
        answer.signed.signature.hex(),
    ]


def _own(tree: object) -> list[tuple[int, bytes]]:
    return [(_seat(one[0]), hash_of("seeds.self", one[1])) for one in _rows("self", tree, 2)]


def _pairs(tree: object) -> list[tuple[tuple[int, int], bytes]]:
    return [
        ((_seat(one[0]), _seat(one[1])), hash_of("seeds.pairs", one[2])) for one in _rows("pairs", tree, 3)
    ]


def answers_of(tree: object, attempt: MaskedAttempt) -> list[Answer]:
    """Read :func:`answers_tree` back; whether signatures hold is not looked at.

    Raises:
        FederationError: they are no answers of hospitals of this attempt, one of each at most.
    """
    answers = []
    for seat, accepted, block, block_hash, entries, signature in _rows("answers", tree, 6):
        hospital = attempt.of(_seat(seat))
        if type(block) is not int or not 0 <= block < 2**64:
            raise FederationError(f"seeds.answers: {block!r:.80} is no block.")
        released = octets("seeds.answers", entries, longest=ENTRY * attempt.degree)
        bitmap = from_bitmap(int.from_bytes(hash_of("seeds.answers", accepted)))
        where = block, hash_of("seeds.answers", block_hash)
        message = statement(attempt, hospital.account, bitmap, where, released)
        signed = Signed(message, octets("seeds.answers", signature, longest=LONGEST_SIGNATURE))
        answers.append(Answer(hospital.seat, signed, released))
    if [answer.seat for answer in answers] != sorted({answer.seat for answer in answers}):
        raise FederationError("seeds.answers: not one of each hospital, in the order of seats.")
    return answers


def _rows(what: str, tree: object, length: int) -> list[list[Any]]:
    if not isinstance(tree, list) or not all(isinstance(one, list) and len(one) == length for one in tree):
        raise FederationError(f"seeds.{what}: a list of rows of {length} is expected.")
    return tree


def _seat(value: object) -> int:
    if type(value) is not int or not 0 <= value <= 255:
        raise FederationError(f"seeds: {value!r:.80} is no seat.")
    return value
