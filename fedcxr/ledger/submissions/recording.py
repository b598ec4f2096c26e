"""What of a round's submissions the contract keeps: each by itself, or one Merkle root over all of them.

The configuration names a kind in ``ledger.recording``; the contract is founded with it. A kind is a subclass
of :class:`Recording` and a row of :data:`KINDS`; nobody else asks which kind a federation has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any, ClassVar

from fedcxr.errors import ChainError
from fedcxr.ledger import call_gas
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.protocol import RoundView, Verdict
from fedcxr.ledger.recorded import Recorded
from fedcxr.ledger.seats import to_bitmap, to_words, words_of
from fedcxr.ledger.signing import Signed, SignedSubmission, Struct, as_tuple
from fedcxr.ledger.submissions import tree as submission_tree
from fedcxr.ledger.submissions.book import SubmissionBook
from fedcxr.ledger.transaction import decode_error
from fedcxr.ledger.transactor import Transactor
from fedcxr.ledger.views import FederationViews


class Recording(ABC):
    """How submissions reach the contract, and where they are read from while a round is open.

    Attributes:
        kind: the contract's word for it.
        provisional: whether an update that is in can still be replaced until the round is closed.
    """

    kind: ClassVar[Recorded]
    provisional: ClassVar[bool]

    def __init__(self, views: FederationViews, transactor: Transactor) -> None:
        self._views = views
        self._transactor = transactor

    @abstractmethod
    def submit(self, batch: Sequence[SignedSubmission]) -> list[Verdict]:
        """Bring submissions to the open round; each is accepted or rejected on its own."""

    @abstractmethod
    def listing(self) -> bytes:
        """All submissions of the open round, to store before closing; empty where each is recorded."""

    @abstractmethod
    def close(self, number: int, list_root: bytes) -> None:
        """Close the open round.

        Raises:
            ContractRejectedError: the contract's reason.
        """

    def _asked(self, number: int) -> Collection[int]:
        """Seats of a round's participants; none where it was never opened, which the contract will say."""
        opened = self._views.round_events(number).opened
        return self._views.round(number).seats.values() if opened else ()

    @abstractmethod
    def filled(self, view: RoundView) -> RoundView:
        """A round, with the submissions that are gathered here and not on the chain yet."""


class EachRecorded(Recording):
    """The contract checks and keeps every submission."""

    kind: ClassVar[Recorded] = Recorded.EACH
    provisional: ClassVar[bool] = False

    def submit(self, batch: Sequence[SignedSubmission]) -> list[Verdict]:
        words = ("UpdateAccepted", "UpdateRejected")
        return relayed(self._transactor, "submit", "submitUpdates", batch, words)

    def listing(self) -> bytes:
        return b""

    def close(self, number: int, list_root: bytes) -> None:
        words = words_of(to_bitmap(self._asked(number)))
        self._transactor.transact("close", "closeRound", (number,), gas=200_000 + call_gas.words(words))

    def filled(self, view: RoundView) -> RoundView:
        return view


class RootRecorded(Recording):
    """The contract keeps one root; submissions are checked here by its rules, and listed in the store."""

    kind: ClassVar[Recorded] = Recorded.ROOT
    provisional: ClassVar[bool] = True

    def submit(self, batch: Sequence[SignedSubmission]) -> list[Verdict]:
        if not batch:
            return []
        samples = {m.address: m.samples for m in self._views.members() if m.is_active_hospital}
        view = self._views.round(self._views.round_in_progress or batch[0].message.round)
        return [self._book.take(s, view, samples.get(s.message.hospital, 0)) for s in batch]

    def listing(self) -> bytes:
        """The list, with what hospitals submitted themselves, and without those no longer active."""
        number = self._views.round_in_progress
        events = self._views.round_events(number).attempts[-1]
        direct = [
            SignedSubmission(events.submission(self._views.federation, v["hospital"]), bytes(v["signature"]))
            for v in events.of("UpdateAccepted")
        ]
        active = {member.seat for member in self._views.members() if member.is_active_hospital}
        self._book.settle(self._views.round(number), direct, active)
        return self._book.listing()

    def close(self, number: int, list_root: bytes) -> None:
        asked = self._asked(number)
        root, accepted = self._book.root(submission_tree.depth_of(asked)), to_bitmap(self._book.seats)
        words = words_of(to_bitmap(asked))
        if words == 1:
            arguments: tuple[object, ...] = (number, root, list_root, accepted)
            self._transactor.transact("close", "closeWithRoot", arguments, gas=300_000)
        else:
            arguments = (number, root, list_root, to_words(accepted, words))
            gas = 300_000 + call_gas.words(words)
            self._transactor.transact("close", "closeWideWithRoot", arguments, gas=gas)

    def filled(self, view: RoundView) -> RoundView:
        return self._book.fill(view) if view.status == RoundPhase.OPEN else view

    @cached_property
    def _book(self) -> SubmissionBook:
        return SubmissionBook(self._views.acceptance)


KINDS: dict[Recorded, type[Recording]] = {made.kind: made for made in (EachRecorded, RootRecorded)}


def relayed(
    transactor: Transactor, kind: str, name: str, batch: Sequence[Signed[Any]], words: tuple[str, str]
) -> list[Verdict]:
    """Send signed messages in one transaction; the contract emits one event for each, in the batch's order.

    Args:
        transactor: that pays.
        kind: under which the gas is counted.
        name: of the contract's function.
        batch: what is sent.
        words: names of the events of acceptance and of rejection.

    Raises:
        ChainError: the contract did not emit one event for each.
    """
    arguments = ([as_tuple(s.message) for s in batch], [s.signature for s in batch])
    receipt = transactor.transact(kind, name, arguments, gas=80_000 + 150_000 * len(batch))
    events = transactor.said(receipt, words)
    if len(events) != len(batch):
        raise ChainError(f"the contract said {len(events)} words on {len(batch)} messages.")
    return [
        Verdict(
            _signer(signed.message),
            decode_error(bytes(event["args"]["reason"])) if event["event"] == words[1] else None,
        )
        for signed, event in zip(batch, events, strict=True)
    ]


def _signer(message: Struct) -> str:
    return str(getattr(message, "validator", None) or getattr(message, "hospital", ""))
