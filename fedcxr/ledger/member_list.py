"""The contract's list of its members, which is asked for by the word of seats where they are many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fedcxr.ledger.connection import ContractConnection
from fedcxr.ledger.contract_events import ContractEvents
from fedcxr.ledger.membership_events import Standing
from fedcxr.ledger.protocol import MemberView
from fedcxr.ledger.seats import WORD

_STANDINGS: tuple[Standing, ...] = ("active", "active", "suspended", "left")  # the enum's None never shows
_CHANGES = ("MemberJoined", "KeyRotated", "MemberSuspended", "MemberReinstated", "MemberLeft")


class MemberList:
    """Asks the contract for its members.

    Those of a word of seats are one question, which every contract answers. More are too much for one, and
    too much to be asked for with every update: they are asked for again after an event of theirs.
    """

    def __init__(self, connection: ContractConnection, events: ContractEvents) -> None:
        self._connection = connection
        self._events = events
        self._few = False  # whether there were fewer than a word of them, lately
        self._known: tuple[Sequence[Sequence[Any]], list[MemberView]] = ([], [])

    def read(self) -> list[MemberView]:
        """Everyone who has ever joined, in the order of their seats.

        Raises:
            ChainError: the chain does not answer.
        """
        if self._few or len(self._events.named("MemberJoined")) <= WORD:
            members = self._views(0, *self._connection.call("members"))
            self._few = len(members) < WORD
            return members
        with self._events.one_look():
            changes = [self._events.named(name) for name in _CHANGES]
        before, members = self._known
        if len(before) != len(changes) or any(a is not b for a, b in zip(before, changes, strict=True)):
            members = []
            for word in range(-(-len(changes[0]) // WORD)):
                members += self._views(word * WORD, *self._connection.call("membersOfWord", word))
            self._known = changes, members
        return list(members)

    def _views(self, first: int, listed: Sequence[Any], digests: Sequence[bytes]) -> list[MemberView]:
        return [
            MemberView(seat, str(account), samples, roles, _STANDINGS[standing], bytes(digest))
            for seat, ((account, samples, roles, standing), digest) in enumerate(
                zip(listed, digests, strict=True), first
            )
        ]
