"""What a hospital remembers of the ledger from message to message: its last head, and its open updates."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from fedcxr.errors import FederationError
from fedcxr.ledger.signed_json import object_of, signed_from_tree, signed_to_tree
from fedcxr.ledger.signing import SignedSubmission, Submission
from fedcxr.ledger.statements import Head, SignedHead
from fedcxr.ledger.words import fits

LONGEST = 1 << 16
"""Bytes of the file; ours have under 20,000."""

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
    """

    head: SignedHead | None = None
    occasion: str = ""
    sent: tuple[SentUpdate, ...] = ()

    def with_update(self, update: SentUpdate) -> Watched:
        """With one more update."""
        return replace(self, sent=(*self.sent, update)[-_MOST:])

    def to_json(self) -> str:
        tree: dict[str, Any] = {
            "head": signed_to_tree(self.head) if self.head else None,
            "occasion": self.occasion,
            "sent": [
                {"seat": one.seat, "since": one.since, "submission": signed_to_tree(one.signed)}
                for one in self.sent
            ],
        }
        return json.dumps(tree, indent=2) + "\n"

    @classmethod
    def of(cls, tree: object) -> Watched:
        """From the tree of :meth:`to_json`.

        Raises:
            FederationError: it is none.
        """
        found = object_of("watched", tree, "head", "occasion", "sent")
        if not isinstance(found["occasion"], str) or not isinstance(found["sent"], list):
            raise FederationError("watched: an occasion and a list of updates are expected.")
        head = None if found["head"] is None else signed_from_tree(Head, found["head"])
        return cls(head, found["occasion"], tuple(map(_update_of, found["sent"])))


def _update_of(tree: object) -> SentUpdate:
    found = object_of("watched.sent", tree, "seat", "since", "submission")
    for name in ("seat", "since"):
        if not fits(found[name], "uint64"):
            raise FederationError(f"watched.sent.{name}: {found[name]!r:.80} is no such number.")
    return SentUpdate(signed_from_tree(Submission, found["submission"]), found["seat"], found["since"])
