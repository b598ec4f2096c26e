"""What a hospital remembers of the ledger from message to message: its last head, and its open updates."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from fedcxr.errors import FederationError
from fedcxr.ledger.signed_json import object_of, signed_from_tree, signed_to_tree
from fedcxr.ledger.signing import SignedSubmission, Submission
from fedcxr.ledger.statements import Head, SignedHead

LONGEST = 1 << 16
"""Bytes of the file; ours have under 20,000."""

_MOST = 16  # updates that are remembered: a coordinator that is killed again and again has them sent again


@dataclass(frozen=True)
class SentUpdate:
    """An update that left the hospital, and of which it does not know yet what became.

    Attributes:
        signed: its submission.
        since: when it was signed, in seconds by this hospital's clock.
    """

    signed: SignedSubmission
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

    def with_update(self, signed: SignedSubmission, since: int) -> Watched:
        """With one more update."""
        return replace(self, sent=(*self.sent, SentUpdate(signed, since))[-_MOST:])

    def to_json(self) -> str:
        tree: dict[str, Any] = {
            "head": signed_to_tree(self.head) if self.head else None,
            "occasion": self.occasion,
            "sent": [{"since": one.since, "submission": signed_to_tree(one.signed)} for one in self.sent],
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
        sent = [object_of("watched.sent", one, "since", "submission") for one in found["sent"]]
        if any(type(one["since"]) is not int or abs(one["since"]) >> 63 for one in sent):
            raise FederationError("watched.sent.since: is no whole number of seconds.")
        updates = [
            SentUpdate(signed_from_tree(Submission, one["submission"]), one["since"]) for one in sent
        ]
        return cls(head, found["occasion"], tuple(updates))
