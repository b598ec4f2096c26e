"""The second trip of a masked round: hospitals release seeds for the set that the contract has fixed.

Institutions with disks come back and answer, so waiting is the rule, and giving the attempt up the exception.
What has come is kept, so that a coordinator that was killed need not ask for it again.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flwr.app import Message
from flwr.serverapp import Grid

from fedcxr import bounded, files, json_text
from fedcxr.errors import FederationError, LedgerError, RuleError, StoreError, UnsettledError
from fedcxr.ledger.signing import Domain, Signed
from fedcxr.ledger.statements import Unmasking
from fedcxr.masked_rounds.answers import Answer, Answers, Seeds, answer_digest
from fedcxr.masked_rounds.header_leaves import ShownHeader, header_leaves_to_bytes
from fedcxr.masked_rounds.seeds_file import LONGEST, SeedsFile, answers_of, answers_tree
from fedcxr.messages import FailureReply, UnmaskReply, UnmaskRequest, kind_of
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.privacy.secagg.header import MaskedHeader
from server.events import Observer, UnmaskingWaits
from server.heads import HeadExchange
from server.registration import HospitalNode, messages_node, replies, why_failed

logger = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds between two rounds of questions


class NotUnmaskedError(FederationError):
    """The masks of an attempt cannot be taken off; it has to be aborted."""


@dataclass
class SecondTrip:
    """One attempt's second trip.

    Attributes:
        attempt: which.
        accepted: the set, seats rising.
        headers: of the updates in it, by seat.
        domain: in which hospitals sign.
        listing: of submissions, where one root records all; else empty.
        kept: the file of what was released.
        heads: of the chain, as hospitals sign them.
        observer: told whose answers are waited for.
        sent: bytes that went to hospitals.
    """

    attempt: MaskedAttempt
    accepted: tuple[int, ...]
    headers: Mapping[int, tuple[MaskedHeader, ShownHeader]]
    domain: Domain
    listing: bytes
    kept: Path
    heads: HeadExchange
    observer: Observer
    sent: int = 0
    _answers: Answers = field(init=False)
    _refused: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        headers = {seat: both[0] for seat, both in self.headers.items()}
        self._answers = Answers(self.attempt, self.accepted, headers, self.domain)

    def run(self, grid: Grid, nodes: Mapping[int, HospitalNode], timeout: float, window: float) -> SeedsFile:
        """Ask until enough has been released, and make of it what is published.

        Args:
            grid: that carries the messages.
            nodes: of the hospitals that came, by seat.
            timeout: seconds for the answers to one message.
            window: seconds for all of it.

        Raises:
            NotUnmaskedError: it cannot succeed, or not in time; says why, and names who is convicted.
        """
        self._take_kept()
        deadline, pause = time.monotonic() + window, _FIRST_PAUSE
        while self._answers.lacking:
            asked = [seat for seat in self._pending if seat in nodes]
            self._ask(grid, {seat: nodes[seat] for seat in asked}, timeout)
            if not (lacking := self._answers.lacking):
                break
            if hopeless := self._answers.out_of_reach(self._refused):
                raise self._failed(hopeless)
            if time.monotonic() + pause > deadline:
                raise self._failed(f"no answer in the window: {lacking} have not come")
            awaited = tuple(self.attempt.of(seat).account for seat in self._pending)
            self.observer(UnmaskingWaits(self.attempt.round, awaited, lacking))
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return SeedsFile(self.attempt, self.accepted, self._seeds(), self._taken)

    def _seeds(self) -> Seeds:
        try:
            return self._answers.seeds()
        except FederationError as error:
            raise self._failed(str(error)) from None

    @property
    def _taken(self) -> tuple[Answer, ...]:
        return tuple(self._answers.taken[seat] for seat in sorted(self._answers.taken))

    @property
    def _pending(self) -> list[int]:
        """Seats that may answer still."""
        answered = self._answers.taken.keys() | self._refused
        return [seat for seat in self.accepted if seat not in answered]

    def _failed(self, why: str) -> NotUnmaskedError:
        faults = [f"seat {fault.seat}: {fault.what}" for fault in self._answers.faults]
        return NotUnmaskedError("; ".join([why, *faults]))

    def _ask(self, grid: Grid, nodes: Mapping[int, HospitalNode], timeout: float) -> None:
        """Ask these hospitals once; ends when enough has come."""
        messages = self._requests(grid, nodes)
        seats = {node.node: seat for seat, node in nodes.items()}
        for message in replies(grid, messages, timeout):
            if message is None:
                continue
            seat = seats[messages_node(message, messages)]
            try:
                self._take(message, seat, nodes[seat].address)
            except (FederationError, LedgerError) as error:
                logger.warning("round %d: seat %d has released nothing: %s", self.attempt.round, seat, error)
            if not self._answers.lacking:
                return

    def _requests(self, grid: Grid, nodes: Mapping[int, HospitalNode]) -> list[Message]:
        messages = []
        heads = self.heads.handed_on([node.address for node in nodes.values()])
        for seat, node in nodes.items():
            others = (shown for other, (_, shown) in self.headers.items() if other != seat)
            request = UnmaskRequest(
                round=self.attempt.round,
                attempt=self.attempt.attempt,
                listing=self.listing,
                heads=heads[node.address],
                bulk=header_leaves_to_bytes(self.attempt, seat, others),
            )
            self.sent += len(request.bulk)
            messages.append(
                grid.create_message(request.to_records(), "query.unmask", node.node, str(self.attempt.round))
            )
        return messages

    def _take(self, message: Message, seat: int, address: str) -> None:
        """Take one reply; what is wrong with it is an error, after which the hospital may be asked again."""
        if reason := why_failed(message):
            if _code(message) == RuleError.exit_code:
                self._refused.add(seat)  # for good, in this attempt
            elif _code(message) == UnsettledError.exit_code:
                reason = "the chain may still take the set back where it looks"
            raise FederationError(reason)
        reply = UnmaskReply.from_records(message.content)
        self.heads.receive(address, reply.head)
        said = Unmasking(
            federation=self.attempt.federation,
            round=reply.round,
            attempt=reply.attempt,
            hospital=reply.hospital,
            context=reply.context,
            accepted=int.from_bytes(reply.accepted),
            block=reply.block,
            block_hash=reply.block_hash,
            answer=answer_digest(reply.answer),
        )
        self._answers.take(Answer(seat, Signed(said, reply.signature), reply.answer))
        self.keep()

    def keep(self, seeds_root: bytes = b"") -> None:
        """Write down what has come; with the root of the published seeds once there is one.

        Raises:
            UnwritableError: it cannot be written.
        """
        tree = {
            "round": self.attempt.round,
            "attempt": self.attempt.attempt,
            "context": self.attempt.context.hex(),
            "answers": answers_tree(self._taken),
            "seeds": seeds_root.hex(),
        }
        files.write(self.kept, json.dumps(tree, separators=(",", ":")) + "\n", mode=0o600)

    def _take_kept(self) -> None:
        """Take what a coordinator before this one has kept of this very attempt."""
        for answer in self._read_kept():
            try:
                self._answers.take(answer)
            except (FederationError, LedgerError) as error:
                logger.warning("%s: %s", self.kept, error)

    def _read_kept(self) -> list[Answer]:
        kept = read_kept(self.kept)
        try:
            if kept.get("context") == self.attempt.context.hex():
                return answers_of(kept.get("answers"), self.attempt)
        except FederationError as error:
            logger.warning("%s: what it has is asked for again: %s", self.kept, error)
        return []


def read_kept(path: Path) -> dict[str, Any]:
    """What :meth:`SecondTrip.keep` wrote; empty where nothing can be read: hospitals answer again alike."""
    try:
        tree = json_text.parse(bounded.read(path, LONGEST), LONGEST) if path.exists() else {}
    except (OSError, StoreError, ValueError) as error:
        logger.warning("%s cannot be read: %s", path, error)
        return {}
    return tree if isinstance(tree, dict) else {}


def _code(message: Message) -> int:
    if message.has_error() or kind_of(message.content) != FailureReply.kind:
        return 0
    return FailureReply.from_records(message.content).code
