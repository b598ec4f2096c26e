"""The committee of a round: hospitals that the contract has drawn judge the updates of the others.

A candidate goes out in the clear, with the base model, to each validator; the reply is a signed verdict,
which is relayed. One candidate is in memory at a time. A validator that fails or is silent is just absent:
the contract counts what it has, when the time to judge is over or the verdict stands.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flwr.app import Message
from flwr.serverapp import Grid

from fedcxr.errors import ContractRejectedError, EnvelopeError, FederationError, StoreError
from fedcxr.ledger.signing import Attestation, Signed, SignedAttestation
from fedcxr.messages import AttestationReply, ValidateRequest
from fedcxr.privacy.envelope import EnvelopeContext, header_of, open_envelope, plain_update
from fedcxr.update import merkle
from server.registration import Member, messages_node, replies, why_failed

if TYPE_CHECKING:
    from server.round import Round

logger = logging.getLogger(__name__)
_POLL = 1.0  # seconds between two looks at whether the time to judge is over


def collect_verdicts(current: Round, grid: Grid, members: Mapping[str, Member], timeout: float) -> None:
    """Have every accepted update judged, and wait until the contract can count the verdicts.

    Raises:
        FederationError: an update stays undecided, and the time to judge is longer than the round's.
    """
    number = current.view.number
    validators = [address for address in current.ledger.draw_committee(number) if address in members]
    deadline = time.monotonic() + timeout
    for hospital in sorted(current.view.accepted):
        asked = [members[address].node for address in validators if address != hospital]
        try:
            request = _request(current, hospital)
        except (EnvelopeError, StoreError) as error:
            logger.warning("round %d: the update of %s cannot be shown: %s", number, hospital, error)
            continue
        records = request.to_records()
        messages = [grid.create_message(records, "query.validate", node, str(number)) for node in asked]
        current.cost.bytes_down += len(request.bulk) * len(messages)
        _relay(current, grid, messages, max(0.0, deadline - time.monotonic()))
    # Everyone has been asked: what is undecided now is so until the contract's time to judge is over.
    patient = current.view.validation_deadline - time.time() < deadline - time.monotonic()
    while not current.ledger.countable(number):
        if not patient or time.monotonic() > deadline:
            raise FederationError(
                f"round {number}: too few verdicts came; the round can be validated when the contract's time "
                "to judge is over (validation.window). The same command asks the validators again."
            )
        if time.time() > current.view.validation_deadline:
            return  # a question has the last block's time; the transaction that counts makes a new block
        time.sleep(_POLL)


def _request(current: Round, hospital: str) -> ValidateRequest:
    """One candidate with the proof that it is what the contract accepted."""
    view, update = current.view, current.view.accepted[hospital]
    blob = current.store.get(update.root, verify=False)
    if current.key is None:
        header, paths, payload = b"", b"", plain_update(blob)
    else:
        layout = current.total.layout.digest.hex()
        context = EnvelopeContext(current.federation, view.number, hospital, layout)
        header = header_of(blob)
        paths, payload = merkle.prefix_paths(blob, len(header)), open_envelope(blob, context, current.key)
    return ValidateRequest(
        round=view.number,
        attempt=view.attempt,
        round_config=current.config.to_bytes(),
        hospital=hospital,
        base=view.base,
        root=update.root,
        samples=update.samples,
        size=update.size,
        metrics_root=update.metrics,
        header=header,
        paths=paths,
        bulk=current.base.astype("<f4", copy=False).tobytes() + payload.astype("<u4", copy=False).tobytes(),
    )


def _relay(current: Round, grid: Grid, messages: list[Message], timeout: float) -> None:
    batch: list[SignedAttestation] = []
    for message in replies(grid, messages, timeout):
        if message is None:
            continue
        try:
            batch.append(_verdict(current, message))
        except (FederationError, ContractRejectedError) as error:
            logger.warning("node %d gives no verdict: %s", messages_node(message, messages), error)
    if not batch:
        return
    for verdict in current.ledger.attest(batch):
        if verdict.error is not None:
            logger.warning("the verdict of %s was not taken: %s", verdict.signer, verdict.error)


def _verdict(current: Round, message: Message) -> SignedAttestation:
    if reason := why_failed(message):
        raise FederationError(reason)
    reply = AttestationReply.from_records(message.content)
    attestation = Attestation(
        federation=bytes.fromhex(current.federation),
        round=current.view.number,
        attempt=current.view.attempt,
        validator=reply.validator,
        hospital=reply.hospital,
        commitment=reply.commitment,
        accepted=reply.accepted,
        score=reply.score,
    )
    return Signed(attestation, reply.signature)
