"""One round: ask the hospitals, relay what they sign, close the round, and add what the contract lets count.

Replies stream. Each is checked, opened, added and dropped while the disk stores it under its root; then its
submission goes to the contract. Whether it counts, and with what weight, is read back from the contract and
from nowhere else; what does not count is taken out of the sum again. So the server's memory holds one update,
whatever the number of hospitals.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flwr.app import Message
from flwr.serverapp import Grid

from fedcxr.config.sections import Federation
from fedcxr.errors import (
    ContractRejectedError,
    EnvelopeError,
    FederationError,
    LayoutError,
    StoreError,
)
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.protocol import AcceptedUpdate, Ledger, RoundView
from fedcxr.ledger.rules import beyond_share
from fedcxr.ledger.signing import Refusal, SignedSubmission
from fedcxr.messages import RefusalReply, TrainRequest, UpdateReply, kind_of
from fedcxr.run.stored_metrics import stored_metrics
from fedcxr.store.blobs import BlobStore
from fedcxr.store.submissions import with_submissions
from fedcxr.update import merkle
from fedcxr.update.layout import Vector
from fedcxr.update.metrics import LARGEST, HospitalMetrics
from fedcxr.update.round_config import RoundConfig
from server.batch import Batch
from server.committee import Candidate, Committee
from server.events import HospitalAnswered, Observer
from server.heads import HeadExchange
from server.masked_round import MaskedRound
from server.registration import HospitalNode, messages_node, replies, why_failed
from server.round_time import RoundTime
from server.tally import Tally
from server.unmasking import NotUnmaskedError

logger = logging.getLogger(__name__)


@dataclass
class RoundCost:
    """Where the round's time went, by parts that the coordinator's thread was in, and what was moved.

    The parts: ``opening`` (scales and weights), ``asking`` (messages to hospitals), ``waiting`` (for their
    replies), ``verifying`` (roots, storing, opening, adding), ``ledger`` (transactions and reads),
    ``judging`` (of a committee), ``unmasking`` (of a masked sum, and waiting for what hospitals release),
    ``releasing`` (division, digest, model file), ``evaluating``.
    """

    time: RoundTime = field(default_factory=RoundTime)
    work: Counter[str] = field(default_factory=Counter)  # seconds of all hospitals, by what they did
    bytes_up: int = 0  # from hospitals
    bytes_down: int = 0  # to hospitals


@dataclass
class Round:
    """A round that the contract has opened.

    Attributes:
        view: as the contract held it when the round began here; its accepted set is not empty after a resume.
        config: the round's configuration, whose digest the contract holds.
        base: the model that hospitals start from.
        tally: what of the round is in its sum.
        judged: whether a committee decides what counts.
        deferred: whether it is known only when the round is closed which updates count: where a committee
            judges, and where one root records all, for until then a hospital may bring the contract another
            one itself.
        heads: of the chain, as hospitals sign them.
        masked: what a masked round has besides; None where nothing is masked.
        waited: seconds for which a hospital's network waited for its loader, by its update's root.
    """

    view: RoundView
    config: RoundConfig
    base: Vector
    tally: Tally
    ledger: Ledger
    store: BlobStore
    federation: str
    judged: bool
    deferred: bool
    observer: Observer
    heads: HeadExchange
    masked: MaskedRound | None = None
    metrics: dict[str, HospitalMetrics] = field(default_factory=dict)
    waited: dict[bytes, float] = field(default_factory=dict)
    cost: RoundCost = field(default_factory=RoundCost)
    _answered_for: set[str] = field(default_factory=set)  # hospitals whose accepted update was taken

    def collect(self, grid: Grid, members: Mapping[str, HospitalNode], timeout: float) -> None:
        """Add what was accepted before a restart, ask everyone else, and add as they are accepted."""
        self.take_up()
        if self.view.status != RoundPhase.OPEN or 0 < self.view.deadline < time.time():
            return  # the contract takes no more; 0 is a ledger that keeps no time
        for address in set(self.view.participants) - set(self.view.accepted) - set(members):
            self._answered(address, "its node did not come back")
        missing = {
            members[address].node: address
            for address in self.view.participants
            if address not in self.view.accepted and address in members
        }
        with self.cost.time.of("asking"):
            asked = self._requests(grid, missing)
        batch = Batch(self.view.deadline)
        for message in self._timed(replies(grid, asked, timeout)):
            if message is not None:
                batch.gather(self._check(message, missing.pop(messages_node(message, asked), "")))
            if batch.due:
                batch.bring(self._submit)
        batch.bring(self._submit)
        self.heads.keep()
        self.take_up()
        for address in missing.values():
            if address not in self.view.accepted:
                self._answered(address, "no reply in time")

    def _requests(self, grid: Grid, missing: Mapping[int, str]) -> list[Message]:
        """One message for each node, with its hospital's weight; all share the base model's bytes."""
        bulk = self.base.astype("<f4", copy=False).tobytes()
        asked, heads = [], self.heads.handed_on(missing.values())
        for node, address in missing.items():
            request = TrainRequest(
                round=self.view.number,
                attempt=self.view.attempt,
                round_config=self.config.to_bytes(),
                weight=self.view.weights[address],
                bulk=bulk,
                heads=heads[address],
            ).to_records()
            asked.append(grid.create_message(request, "train", node, group_id=str(self.view.number)))
            self.cost.bytes_down += len(bulk)
        return asked

    def take_up(self) -> None:
        """Add what the contract accepted, but not from here: before a restart, or from a hospital itself."""
        self._on_ledger(self._look_up)
        for address in sorted(self.view.accepted.keys() - self._answered_for):
            self._accept(address)

    def close(self, grid: Grid, members: Mapping[str, HospitalNode], timeout: float) -> None:
        """Close the round, have it judged, and add what counts and is not in the sum yet.

        A round that was closed before a restart is taken up where it stands.

        Raises:
            ContractRejectedError: too few updates are in.
        """
        number = self.view.number
        if self.view.status == RoundPhase.OPEN:
            came = set(self.view.accepted)
            self._on_ledger(self._close_on_ledger)
            self.take_up()
            for address in sorted(came - set(self.view.accepted)):
                self._answered(address, "it was suspended, or left, before the round was closed")
        if self.view.status == RoundPhase.CLOSED:
            if self.judged:
                committee = Committee(self.view, self.config, self.base, self.federation, self.ledger)
                with self.cost.time.of("judging"):
                    self.cost.bytes_down += committee.judge(self._candidates(), grid, members, timeout)
            self._on_ledger(lambda: self.ledger.validate(number))
            self._on_ledger(self._look_up)
        for address in sorted(set(self.view.accepted) - set(self.view.counted)):
            self._answered(address, "the committee did not approve of its update")
        if self.deferred:
            for address in self.view.counted:
                self._take_metrics(address, self.view.accepted[address])
        with self.cost.time.of("verifying"):
            for address, reason in self.tally.include_all(self.view):
                self._answered(address, reason)

    @property
    def objection(self) -> str:
        """Why the open round cannot be closed with the updates that it has; empty where it can."""
        if self.masked is None or self.view.status != RoundPhase.OPEN:
            return ""
        with self.cost.time.of("verifying"):
            return self.masked.objection(self.view)

    def unmask(self, grid: Grid, members: Mapping[str, HospitalNode], timeout: float) -> None:
        """Take the masks off the sum of a masked round; of any other there are none.

        Raises:
            NotUnmaskedError: it cannot be done.
        """
        if self.masked is None:
            return
        if self.tally.excluded:
            left = "; ".join(f"{address}: {why}" for address, why in self.tally.excluded.items())
            raise NotUnmaskedError(f"no masked update can be left out alone: {left}")
        with self.cost.time.of("unmasking"):
            self.cost.bytes_down += self.masked.unmask(
                self.view, self.tally.total, grid, members, timeout, heads=self.heads, observer=self.observer
            )
        self.heads.keep()

    def shortfall(self, rules: Federation) -> str:
        """Why what is in the sum makes no result by the federation's rules; empty where it does."""
        included = self.tally.included
        if len(included) < rules.min_hospitals:
            return f"{len(included)} of {rules.min_hospitals} updates could be included"
        weights = {address: self.view.weights[address] for address in included}
        if not (largest := beyond_share(weights, rules.share_parts)):
            return ""
        share = f"{weights[largest] / sum(weights.values()):.2%} of the weight that could be included"
        return f"{largest} has {share}, and federation.largest_share is {rules.largest_share}"

    def _close_on_ledger(self) -> None:
        """Close with the list of submissions in the store, where one root records all.

        A hospital that is suspended, or that brings its update itself, after the list was made makes another
        one necessary.
        """
        try:
            self._close_with_list()
        except ContractRejectedError as error:
            if error.name not in ("UnknownSeats", "SubmissionsMissing"):
                raise
            self._close_with_list()

    def _close_with_list(self) -> None:
        listing = self.ledger.listing()
        self.ledger.close(self.view.number, self.store.put(listing) if listing else bytes(32))

    def _look_up(self) -> None:
        """The contract's word, not a receipt's: what counts is what its storage says."""
        self.view = with_submissions(self.ledger.round(self.view.number), self.store, self.ledger.domain)

    def _on_ledger(self, call: Callable[[], None]) -> None:
        with self.cost.time.of("ledger"):
            call()

    def _timed(self, arriving: Iterator[Message | None]) -> Iterator[Message | None]:
        """The replies as they arrive; what passes until the next one belongs to waiting."""
        while True:
            with self.cost.time.of("waiting"):
                try:
                    message = next(arriving)
                except StopIteration:
                    return
            yield message

    def _accept(self, address: str) -> None:
        """Take an update that the contract holds."""
        self._answered_for.add(address)
        if address not in self.metrics:
            self._take_metrics(address, self.view.accepted[address])
        if not self.deferred:
            with self.cost.time.of("verifying"):
                self._answered(address, self.tally.include(self.view, address))

    def _take_metrics(self, address: str, update: AcceptedUpdate) -> None:
        self.metrics.pop(address, None)
        try:
            self.metrics[address] = stored_metrics(self.store, update)
        except (StoreError, FederationError) as error:
            logger.warning("round %d: no metrics of %s: %s", self.view.number, address, error)

    def _check(self, message: Message, address: str) -> list[SignedSubmission]:
        """Check a reply and store its blob; what is wrong with it is told to the observer and left out.

        Raises:
            StoreError: the store takes no more. That is no hospital's fault: the round stays open.
        """
        if not address:
            return []  # a second reply to one message
        try:
            with self.cost.time.of("verifying"):
                return [self._receive(message, address)]
        except (FederationError, ContractRejectedError, EnvelopeError, LayoutError) as error:
            self._answered(address, str(error))
            return []

    def _receive(self, message: Message, address: str) -> SignedSubmission:
        if reason := why_failed(message):
            raise FederationError(reason)
        if kind_of(message.content) == RefusalReply.kind:
            self._put_refusal(RefusalReply.from_records(message.content), address)
        reply = UpdateReply.from_records(message.content)
        if len(reply.bulk) > self.tally.longest:
            most = f"where an update has at most {self.tally.longest:,}"
            raise FederationError(f"it sent {len(reply.bulk):,} bytes, {most}")
        if reply.hospital != address:
            raise FederationError(f"it answers as {reply.hospital}, but was asked as {address}")
        self.heads.receive(address, reply.head)
        submission = reply.submission(bytes.fromhex(self.federation))
        metrics = HospitalMetrics.from_bytes(reply.metrics)
        if not 0 <= reply.waited <= metrics.seconds:
            raise FederationError(f"it waited for {reply.waited} s of {metrics.seconds} s of training")
        if not 0 <= reply.took < LARGEST:
            raise FederationError(f"it took {reply.took} s for its reply")
        # Stored before it is submitted: what the contract accepts is on the disk, whatever happens next.
        self.store.put(reply.bulk, reply.root, meanwhile=lambda: self._verify(reply, address))
        self.store.put(reply.metrics, reply.metrics_root)
        self.cost.bytes_up += len(reply.bulk)
        worked = {"training": metrics.seconds, "protecting": max(0.0, metrics.protect_seconds)}
        worked["checking"] = max(0.0, reply.took - sum(worked.values()))
        self.cost.work.update(worked)
        self.metrics[address] = metrics
        self.waited[reply.root] = reply.waited
        return SignedSubmission(submission, reply.signature)

    def _verify(self, reply: UpdateReply, address: str) -> None:
        """See that an update is what its hospital signed, and add it from the memory in which it was seen."""
        if reply.hashed.root != reply.root or merkle.root(reply.metrics) != reply.metrics_root:
            raise FederationError("its bytes do not have the roots that it signed")
        if len(reply.bulk) != reply.size:
            raise FederationError(f"it signed {reply.size} bytes and sent {len(reply.bulk)}")
        try:
            if self.masked is not None:
                self.masked.take(reply.hashed, self.view.seats[address])
            self.tally.take(reply.bulk, reply.root, self.view, address)
        except (EnvelopeError, LayoutError):
            # One that cannot be shown to validators would stay undecided; a masked one cannot be excluded.
            if self.judged or self.masked is not None:
                raise  # elsewhere the ledger says why it is excluded, if it counts

    def _put_refusal(self, reply: RefusalReply, address: str) -> None:
        """Put a hospital's refusal on the ledger; always ends in FederationError, for there is no update."""
        federation = bytes.fromhex(self.federation)
        refusal = Refusal(federation=federation, round=reply.round, hospital=address, seen=reply.seen)
        self.ledger.refuse(refusal, reply.signature)
        if reply.seen == self.view.base:
            raise FederationError(
                "it refused the round, which is beyond its limits or the rules: see its own log"
            )
        raise FederationError(f"it refused the base model: it was handed {reply.seen.hex()}")

    def _submit(self, batch: Sequence[SignedSubmission]) -> None:
        with self.cost.time.of("ledger"):
            verdicts = self.ledger.submit(batch)
            self._look_up()
        for signed, verdict in zip(batch, verdicts, strict=True):
            address = signed.message.hospital
            held = self.view.accepted.get(address)
            if held is not None and held.root == signed.message.root:
                self._accept(address)
            else:
                self._answered(address, str(verdict.error or "the contract did not accept it"))

    def _candidates(self) -> Iterator[Candidate]:
        """What validators are shown, one accepted update after the other."""
        for hospital in sorted(self.view.accepted):
            try:
                shown = self.tally.show(self.view, hospital)
            except (EnvelopeError, StoreError) as error:
                number = self.view.number
                logger.warning("round %d: the update of %s cannot be shown: %s", number, hospital, error)
                continue
            yield Candidate(hospital, shown)

    def _answered(self, address: str, reason: str) -> None:
        said = " ".join(reason.split())  # a hospital's words cannot begin a line of the log
        update = self.view.accepted.get(address)
        waited = None if update is None else self.waited.get(update.root)
        self.observer(HospitalAnswered(self.view.number, address, said, self.metrics.get(address), waited))
