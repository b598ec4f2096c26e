"""The committee of a round: hospitals that the contract has drawn judge the updates of the others.

A candidate goes out in the clear, with the base model, to each validator; the reply is a signed verdict,
which is relayed. One candidate is in memory at a time. A validator that fails or is silent is just absent:
the contract counts what it has, when the time to judge is over or the verdict stands.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flwr.app import Message
from flwr.serverapp import Grid

from fedcxr.errors import ContractRejectedError, FederationError
from fedcxr.ledger.protocol import Ledger, RoundView
from fedcxr.ledger.signing import Attestation, Signed, SignedAttestation
from fedcxr.messages import AttestationReply, ValidateRequest
from fedcxr.privacy.protection import ShownUpdate
from fedcxr.update.layout import Vector
from fedcxr.update.round_config import RoundConfig
from server.registration import HospitalNode, messages_node, replies, why_failed

logger = logging.getLogger(__name__)
_POLL = 1.0  # seconds between two looks at whether the time to judge is over


@dataclass(frozen=True)
class Candidate:
    """An accepted update that validators judge.

    Attributes:
        hospital: whose it is.
        shown: the update in the clear, with the proof that its hospital committed to it.
    """

    hospital: str
    shown: ShownUpdate


@dataclass(frozen=True)
class Committee:
    """The validators of a closed round.

    Attributes:
        view: of the round.
        config: the round's configuration.
        base: the model that hospitals started from.
        federation: hex id.
        ledger: on which the verdicts go.
    """

    view: RoundView
    config: RoundConfig
    base: Vector
    federation: str
    ledger: Ledger

    def judge(
        self,
        candidates: Iterable[Candidate],
        grid: Grid,
        members: Mapping[str, HospitalNode],
        timeout: float,
    ) -> int:
        """Have every candidate judged, and wait until the contract can count the verdicts.

        Args:
            candidates: taken one at a time, so that one is in memory.
            grid: that carries the messages.
            members: by address.
            timeout: seconds for all of them.

        Returns:
            Bytes that were sent to validators.

        Raises:
            FederationError: an update stays undecided, and the time to judge is longer than the round's.
        """
        number, sent = self.view.number, 0
        validators = [address for address in self.ledger.draw_committee(number) if address in members]
        deadline = time.monotonic() + timeout
        for candidate in candidates:
            asked = [members[address].node for address in validators if address != candidate.hospital]
            request = self._request(candidate)
            records = request.to_records()
            messages = [grid.create_message(records, "query.validate", node, str(number)) for node in asked]
            sent += len(request.bulk) * len(messages)
            self._relay(grid, messages, max(0.0, deadline - time.monotonic()))
        self._wait(deadline)
        return sent

    def _wait(self, deadline: float) -> None:
        """Everyone has been asked: what is undecided is so until the contract's time to judge is over."""
        number, window_ends = self.view.number, self.view.validation_deadline
        patient = window_ends - time.time() < deadline - time.monotonic()
        while not self.ledger.countable(number):
            if not patient or time.monotonic() > deadline:
                raise FederationError(
                    f"round {number}: too few verdicts came; the round can be validated when the contract's "
                    "time to judge is over (validation.window). The same command asks the validators again."
                )
            if time.time() > window_ends:
                return  # a question has the last block's time; the transaction that counts makes a new block
            time.sleep(_POLL)

    def _request(self, candidate: Candidate) -> ValidateRequest:
        """One candidate with the proof that it is what the contract accepted."""
        view, shown = self.view, candidate.shown
        accepted = view.accepted[candidate.hospital]
        base = self.base.astype("<f4", copy=False)
        return ValidateRequest(
            round=view.number,
            attempt=view.attempt,
            round_config=self.config.to_bytes(),
            hospital=candidate.hospital,
            base=view.base,
            root=accepted.root,
            samples=accepted.samples,
            size=accepted.size,
            metrics_root=accepted.metrics,
            header=shown.header,
            paths=shown.paths,
            bulk=b"".join((base.data, shown.update.astype("<u4", copy=False).data)),
        )

    def _relay(self, grid: Grid, messages: list[Message], timeout: float) -> None:
        batch: list[SignedAttestation] = []
        for message in replies(grid, messages, timeout):
            if message is None:
                continue
            try:
                batch.append(self._verdict(message))
            except (FederationError, ContractRejectedError) as error:
                logger.warning("node %d gives no verdict: %s", messages_node(message, messages), error)
        if not batch:
            return
        for verdict in self.ledger.attest(batch):
            if verdict.error is not None:
                logger.warning("the verdict of %s was not taken: %s", verdict.signer, verdict.error)

    def _verdict(self, message: Message) -> SignedAttestation:
        if reason := why_failed(message):
            raise FederationError(reason)
        reply = AttestationReply.from_records(message.content)
        attestation = Attestation(
            federation=bytes.fromhex(self.federation),
            round=self.view.number,
            attempt=self.view.attempt,
            validator=reply.validator,
            hospital=reply.hospital,
            commitment=reply.commitment,
            accepted=reply.accepted,
            score=reply.score,
        )
        return Signed(attestation, reply.signature)
