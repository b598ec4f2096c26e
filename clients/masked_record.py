"""What a hospital writes down of masked rounds before it acts: ``masked.json``, one for its whole life.

Whatever a hospital is asked later, here is what it has masked and released before, so that it never answers
twice for two sets. It is *not* below an address: whoever has new keys is the same hospital with the same
images. It must never be restored from a backup: that alone would make two answers possible.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fedcxr.errors import FederationError
from fedcxr.ledger.signed_json import hash_of, object_of, octets, signed_from_tree, signed_to_tree
from fedcxr.ledger.signing import SignedSubmission, Submission
from fedcxr.ledger.words import fits
from fedcxr.masked_rounds.answers import ENTRY
from fedcxr.privacy.secagg.header import ENTRIES, HistoryEntry
from fedcxr.privacy.secagg.parameters import COMPLETE
from fedcxr.privacy.secagg.seeds import LENGTH
from fedcxr.update import metrics

LONGEST = 1 << 22
"""Bytes of the file; a thousand rounds with 24 attempts of the last have some 400,000."""

FORMAT = "fedcxr/masked-record/1"
_PREIMAGE = 254 + 58 * COMPLETE
_MOST = 1 << 16  # bases, and accounts, that are remembered


@dataclass(frozen=True)
class Released:
    """What a hospital released in an attempt, and for which set: it answers no other.

    Attributes:
        accepted: the set; bit k is seat k.
        set_digest: of the set with its weights in that attempt.
        block, block_hash: at which it read the set.
        entries: one for each neighbour.
    """

    accepted: int
    set_digest: bytes
    block: int
    block_hash: bytes
    entries: bytes


@dataclass(frozen=True)
class RecordedAttempt:
    """An attempt at the newest round in which this hospital masked anything.

    Attributes:
        attempt: 1-based.
        context: digest of ``preimage``.
        preimage: what the hospital was shown of the attempt.
        self_seed: of its self-mask, drawn once.
        closed: whether it acts in this attempt no more: a later one was begun.
        sent: its signed submission, once the vector may have left.
        metrics: that the submission names.
        released: once it answered.
    """

    attempt: int
    context: bytes
    preimage: bytes
    self_seed: bytes = field(repr=False)
    closed: bool = False
    sent: SignedSubmission | None = None
    metrics: bytes = b""
    released: Released | None = None

    @property
    def entry(self) -> HistoryEntry:
        """What a header of a later attempt says of it."""
        answered = bytes(LENGTH) if self.released is None else self.released.set_digest
        return HistoryEntry(self.attempt, self.context, answered)


@dataclass(frozen=True)
class MaskedRecord:
    """Everything that is written down.

    Attributes:
        federation: hex id; a file of another one stops the hospital.
        round: the newest in which it masked anything, 0 before the first.
        base: digest of the model that this round starts from.
        config_digest: of the round's configuration, with its exponents.
        attempts: of this round, rising; those with a vector, and the newest.
        bases: digests of the models under which it sent a vector in earlier rounds.
        accounts: of all hospitals that it ever counted.
    """

    federation: str
    round: int = 0
    base: bytes = bytes(LENGTH)
    config_digest: bytes = bytes(LENGTH)
    attempts: tuple[RecordedAttempt, ...] = ()
    bases: tuple[bytes, ...] = ()
    accounts: tuple[str, ...] = ()

    @property
    def renewed(self) -> bool:
        """Whether it was made anew after a loss: then nothing of its round is known, and none acted in."""
        return self.round > 0 and not self.attempts and not any(self.base)

    @property
    def newest(self) -> RecordedAttempt | None:
        """The attempt that was begun last."""
        return self.attempts[-1] if self.attempts else None

    @property
    def sent(self) -> tuple[RecordedAttempt, ...]:
        """The attempts of the round in which a vector may have left."""
        return tuple(one for one in self.attempts if one.sent is not None)

    def of(self, attempt: int) -> RecordedAttempt | None:
        """An attempt of the newest round; None where nothing was begun in it."""
        return next((one for one in self.attempts if one.attempt == attempt), None)

    def beginning(self, begun: RecordedAttempt) -> MaskedRecord:
        """With a new attempt of the same round, all before it closed, and forgotten if without a vector."""
        before = tuple(replace(one, closed=True) for one in self.sent)
        return replace(self, attempts=(*before, begun))

    def in_round(self, number: int, base: bytes, config_digest: bytes) -> MaskedRecord:
        """Gone on to another round: nothing of the one before is acted in any more, and its seeds go."""
        bases = (*self.bases, self.base) if self.sent and self.base not in self.bases else self.bases
        return replace(
            self, round=number, base=base, config_digest=config_digest, attempts=(), bases=bases[-_MOST:]
        )

    def changed(self, attempt: RecordedAttempt) -> MaskedRecord:
        """With one of its attempts as it is now."""
        return replace(
            self,
            attempts=tuple(attempt if one.attempt == attempt.attempt else one for one in self.attempts),
        )

    def to_json(self) -> str:
        tree: dict[str, Any] = {
            "format": FORMAT,
            "federation": self.federation,
            "round": self.round,
            "base": self.base.hex(),
            "config_digest": self.config_digest.hex(),
            "attempts": [_attempt_tree(one) for one in self.attempts],
            "bases": [base.hex() for base in self.bases],
            "accounts": list(self.accounts),
        }
        return json.dumps(tree, indent=1) + "\n"

    @classmethod
    def of_tree(cls, tree: object) -> MaskedRecord:
        """From the tree of :meth:`to_json`.

        Raises:
            FederationError: it is none.
        """
        names = ("format", "federation", "round", "base", "config_digest", "attempts", "bases", "accounts")
        found = object_of("masked", tree, *names)
        if found["format"] != FORMAT:
            raise FederationError(f"masked.format: {found['format']!r:.80} is not {FORMAT!r}.")
        attempts = tuple(_attempt_of(one) for one in _list("attempts", found["attempts"], ENTRIES + 1))
        accounts = tuple(_list("accounts", found["accounts"], _MOST))
        if [one.attempt for one in attempts] != sorted({one.attempt for one in attempts}):
            raise FederationError("masked.attempts: not in their order.")
        if not all(fits(account, "address") for account in accounts):
            raise FederationError("masked.accounts: not addresses.")
        return cls(
            federation=hash_of("masked.federation", found["federation"]).hex(),
            round=_number("round", found["round"]),
            base=hash_of("masked.base", found["base"]),
            config_digest=hash_of("masked.config_digest", found["config_digest"]),
            attempts=attempts,
            bases=tuple(hash_of("masked.bases", base) for base in _list("bases", found["bases"], _MOST)),
            accounts=accounts,
        )


def _attempt_tree(one: RecordedAttempt) -> Mapping[str, Any]:
    released = one.released
    return {
        "attempt": one.attempt,
        "context": one.context.hex(),
        "preimage": one.preimage.hex(),
        "self_seed": one.self_seed.hex(),
        "closed": one.closed,
        "sent": None if one.sent is None else signed_to_tree(one.sent),
        "metrics": one.metrics.hex(),
        "released": None
        if released is None
        else {
            "accepted": released.accepted.to_bytes(32).hex(),
            "set_digest": released.set_digest.hex(),
            "block": released.block,
            "block_hash": released.block_hash.hex(),
            "entries": released.entries.hex(),
        },
    }


def _attempt_of(tree: object) -> RecordedAttempt:
    names = ("attempt", "context", "preimage", "self_seed", "closed", "sent", "metrics", "released")
    found = object_of("masked.attempts", tree, *names)
    if not isinstance(found["closed"], bool):
        raise FederationError("masked.attempts.closed: true or false is expected.")
    return RecordedAttempt(
        attempt=_number("attempts.attempt", found["attempt"]),
        context=hash_of("masked.attempts.context", found["context"]),
        preimage=octets("masked.attempts.preimage", found["preimage"], longest=_PREIMAGE),
        self_seed=hash_of("masked.attempts.self_seed", found["self_seed"]),
        closed=found["closed"],
        sent=None if found["sent"] is None else signed_from_tree(Submission, found["sent"]),
        metrics=octets("masked.attempts.metrics", found["metrics"], longest=metrics.LONGEST),
        released=None if found["released"] is None else _released_of(found["released"]),
    )


def _released_of(tree: object) -> Released:
    names = ("accepted", "set_digest", "block", "block_hash", "entries")
    found = object_of("masked.attempts.released", tree, *names)
    return Released(
        accepted=int.from_bytes(hash_of("masked.attempts.released.accepted", found["accepted"])),
        set_digest=hash_of("masked.attempts.released.set_digest", found["set_digest"]),
        block=_number("attempts.released.block", found["block"]),
        block_hash=hash_of("masked.attempts.released.block_hash", found["block_hash"]),
        entries=octets("masked.attempts.released.entries", found["entries"], longest=ENTRY * COMPLETE),
    )


def _number(where: str, value: object) -> int:
    if not fits(value, "uint64"):
        raise FederationError(f"masked.{where}: {value!r:.80} is no such number.")
    assert isinstance(value, int)
    return value


def _list(where: str, value: object, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise FederationError(f"masked.{where}: a list of at most {most} is expected.")
    return value
