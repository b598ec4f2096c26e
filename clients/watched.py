"""What a hospital remembers of the ledger from message to message: its last head, and its open updates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from fedcxr.errors import FederationError
from fedcxr.ledger.signed_json import object_of, signed_from_tree, signed_to_tree
from fedcxr.ledger.signing import SignedSubmission, Submission
from fedcxr.ledger.statements import Head, SignedHead
from fedcxr.ledger.words import fits

LONGEST = 1 << 17
"""Bytes of the file; ours have under 80,000, and that only when every seat has contradicted the chain."""

OWN = -1
"""In place of a seat: of the hospital's own head."""

_CONTRADICTIONS = 4  # that are signed of one seat; the first ones convict as well as a thousand
_SEATS = 256
_MOST = 16  # updates that are remembered: a coordinator that is killed again and again has them sent again


@dataclass(frozen=True)
class SentUpdate:
    """An update that left the hospital, and of which it does not know yet what became.

    Attributes:
        signed: its submission.
        seat: of the hospital.
        since: when it was signed, in seconds by this hospital's clock.
    """

    signed: SignedSubmission
    seat: int
    since: int

    @property
    def place(self) -> tuple[int, int]:
        """Its round and attempt."""
        return self.signed.message.round, self.signed.message.attempt


@dataclass(frozen=True)
class Watched:
    """What is remembered.

    Attributes:
        head: the newest that the hospital has signed; None before the first.
        occasion: on which it did.
        sent: updates, the oldest first.
        contradicted: seats, and blocks of their heads, whose contradiction is in the journal.
    """

    head: SignedHead | None = None
    occasion: str = ""
    sent: tuple[SentUpdate, ...] = ()
    contradicted: tuple[tuple[int, int], ...] = ()

    def with_update(self, update: SentUpdate) -> Watched:
        """With one more update."""
        return replace(self, sent=(*self.sent, update)[-_MOST:])

    def with_contradiction(self, seat: int, block: int) -> Watched:
        """With one more contradiction; the same where it is known, or where its seat has had its share."""
        told = [known for of, known in self.contradicted if of == seat]
        if block in told or len(told) >= _CONTRADICTIONS:
            return self
        return replace(self, contradicted=(*self.contradicted, (seat, block)))

    def to_json(self) -> str:
        tree: dict[str, Any] = {
            "head": signed_to_tree(self.head) if self.head else None,
            "occasion": self.occasion,
            "sent": [
                {"seat": one.seat, "since": one.since, "submission": signed_to_tree(one.signed)}
                for one in self.sent
            ],
            "contradicted": self.contradicted,
        }
        return json.dumps(tree, indent=2) + "\n"

    @classmethod
    def of(cls, tree: object) -> Watched:
        """From the tree of :meth:`to_json`.

        Raises:
            FederationError: it is none.
        """
        if isinstance(tree, dict) and "contradicted" not in tree:  # a file of before
            tree = {**tree, "contradicted": []}
        found = object_of("watched", tree, "head", "occasion", "sent", "contradicted")
        if not isinstance(found["occasion"], str) or not isinstance(found["sent"], list):
            raise FederationError("watched: an occasion and a list of updates are expected.")
        head = None if found["head"] is None else signed_from_tree(Head, found["head"])
        sent = tuple(map(_update_of, found["sent"]))
        return cls(head, found["occasion"], sent, tuple(_contradictions_of(found["contradicted"])))


def _contradictions_of(tree: object) -> Iterator[tuple[int, int]]:
    if not isinstance(tree, list):
        raise FederationError("watched.contradicted: a list is expected.")
    for pair in tree:
        match pair:
            case [int(seat), int(block)] if OWN <= seat < _SEATS and fits(block, "uint64"):
                yield seat, block
            case _:
                raise FederationError(f"watched.contradicted: {pair!r:.80} is no seat with a block.")


def _update_of(tree: object) -> SentUpdate:
    found = object_of("watched.sent", tree, "seat", "since", "submission")
    for name in ("seat", "since"):
        if not fits(found[name], "uint64"):
            raise FederationError(f"watched.sent.{name}: {found[name]!r:.80} is no such number.")
    return SentUpdate(signed_from_tree(Submission, found["submission"]), found["seat"], found["since"])
