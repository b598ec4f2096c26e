"""Hospitals join: each is asked who it is, and registered on the ledger under its own signature."""

from __future__ import annotations

import time
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flwr.app import Message
from flwr.serverapp import Grid

from fedcxr.errors import (
    ContractRejectedError,
    EnvelopeError,
    FedcxrError,
    FederationError,
    GridError,
    LedgerError,
    error_of,
)
from fedcxr.ledger.protocol import Ledger, MemberView
from fedcxr.ledger.signed_requests import SignedRequest
from fedcxr.ledger.signing import ChallengeResponse, Domain, Registration, check_length, recover
from fedcxr.ledger.statements import Labels
from fedcxr.messages import FailureReply, RegisterReply, RegisterRequest, kind_of
from fedcxr.privacy.keys import EnvelopePublicKey
from fedcxr.privacy.secagg.seeds import require_mask_key
from fedcxr.update.round_config import LABELS
from server.events import NotRegistered, Observer

_POLL = 0.2  # seconds between two looks at a grid that had nothing
_NAME_LENGTH = 60  # characters; it is shown, and written into reports


@dataclass(frozen=True)
class HospitalNode:
    """A registered hospital, its node, which may change from run to run, and the head that it signed.

    Where rare labels are withheld it has also signed which labels it has, as bits.
    """

    address: str
    name: str
    samples: int
    node: int
    head: bytes = b""
    labels: int = 0
    labels_signature: bytes = b""


def register_hospitals(
    grid: Grid,
    ledger: Ledger,
    request: RegisterRequest,
    *,
    requests: Path,
    observer: Observer,
    expected: int,
    join_timeout: float,
    timeout: float,
    masks: bool = False,
    withholds: bool = False,
) -> dict[str, HospitalNode]:
    """Ask every node to register, and put those that do on the ledger.

    Args:
        grid: whose nodes are the hospitals.
        ledger: the contract.
        request: what each is asked.
        requests: folder for the registrations that members have to vote on first.
        observer: told of each that was not registered.
        expected: nodes to wait for.
        join_timeout: seconds to wait for the nodes.
        timeout: seconds to wait for their answers; a hospital may decode its images first.
        masks: whether each must have a key for masks.
        withholds: whether each must state the labels that it has.

    Returns:
        Members by address, in the order of their addresses.

    Raises:
        GridError: too few nodes came.
        FederationError: none could be registered.
        StoreError: a registration cannot be put on file.
    """
    nodes = _wait_for_nodes(grid, expected, join_timeout)
    records = request.to_records()
    messages = [grid.create_message(records, "query.register", node, group_id="register") for node in nodes]
    known = {member.address: member for member in ledger.members()}
    members: dict[str, HospitalNode] = {}
    for message in replies(grid, messages, timeout):
        if message is None:
            continue
        node = messages_node(message, messages)
        try:
            member = _admit(message, ledger, request, known, node=node, requests=requests, masks=masks)
            if withholds:
                _check_labels(member, request)
        except (FederationError, EnvelopeError, ContractRejectedError) as error:
            observer(NotRegistered(node, str(error)))
            continue
        if member.address in members:
            observer(NotRegistered(node, f"it presents the address of another node, {member.address}"))
            continue
        members[member.address] = member
    if not members:
        raise FederationError("no hospital could be registered; the log says why for each.")
    return _told_apart(dict(sorted(members.items())))


def _told_apart(members: dict[str, HospitalNode]) -> dict[str, HospitalNode]:
    """The members under names that nobody can take for another's; who has none goes by its address."""
    shown = {address: _without_look(member.name) for address, member in members.items()}
    uses = Counter(shown.values())
    return {
        address: replace(member, name=address)
        if uses[shown[address]] > 1 or shown[address].startswith("0x")
        else member
        for address, member in members.items()
    }


def _without_look(name: str) -> str:
    """What is left of a name once letters of one look, case and white space are not told apart."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def replies(grid: Grid, messages: Sequence[Message], timeout: float) -> Iterator[Message | None]:
    """Replies as they come, one held at a time; ends when all have come or the time is up.

    None comes in between whenever nothing more is at hand. A node that does not answer is just absent: the
    caller knows whom it asked.
    """
    waiting = list(grid.push_messages(messages))
    deadline = time.monotonic() + timeout
    while waiting and time.monotonic() < deadline:
        came = False
        for identifier in list(waiting):
            # One id at a time: a pull of all would hold every hospital's update at once.
            for reply in grid.pull_messages([identifier]):
                waiting.remove(identifier)
                came = True
                yield reply
        yield None
        if waiting and not came:
            time.sleep(_POLL)


def messages_node(reply: Message, asked: Sequence[Message]) -> int:
    """The node that was asked; an error reply does not say it itself."""
    by_id = {message.metadata.message_id: message.metadata.dst_node_id for message in asked}
    return by_id.get(reply.metadata.reply_to_message_id, reply.metadata.src_node_id)


def why_failed(reply: Message) -> str:
    """Why a reply carries no result, in words of ours for its code; empty when it may carry one."""
    if reply.has_error():
        return f"its app crashed, or was not reached (Flower's code {reply.error.code}): see its own log."
    if kind_of(reply.content) == FailureReply.kind:
        code = FailureReply.from_records(reply.content).code
        kind = error_of(code)
        if kind in (None, FedcxrError):
            return f"an error that is not fedcxr's (code {code}): see its own log."
        return f"{kind.__name__} (code {code}): see its own log. {kind.help}"
    return ""


def _wait_for_nodes(grid: Grid, expected: int, timeout: float) -> list[int]:
    deadline = time.monotonic() + timeout
    while len(nodes := sorted(grid.get_node_ids())) < expected:
        if time.monotonic() > deadline:
            raise GridError(f"{len(nodes)} of {expected} hospitals came within {timeout:.0f} s.")
        time.sleep(_POLL)
    return nodes


def _admit(
    message: Message,
    ledger: Ledger,
    request: RegisterRequest,
    known: Mapping[str, MemberView],
    *,
    node: int,
    requests: Path,
    masks: bool,
) -> HospitalNode:
    if reason := why_failed(message):
        raise FederationError(reason)
    reply = RegisterReply.from_records(message.content)
    _check_response(reply, request)
    if masks:
        require_mask_key(EnvelopePublicKey(reply.envelope_key).mask_key)
    if reply.hospital not in known:  # a resumed run finds its hospitals on the ledger
        registration = Registration(
            federation=request.federation,
            member=reply.hospital,
            roles=reply.roles,
            samples=reply.samples,
            envelope_key_digest=EnvelopePublicKey(reply.envelope_key).digest,
        )
        _register(SignedRequest(registration, (reply.signature,), reply.envelope_key), ledger, requests)
    elif not known[reply.hospital].is_active_hospital:
        raise FederationError(f"{reply.hospital} is {known[reply.hospital].standing}, not an active hospital")
    name = "".join(c for c in reply.name if c.isprintable())[:_NAME_LENGTH].strip() or reply.hospital
    samples = known[reply.hospital].samples if reply.hospital in known else reply.samples
    return HospitalNode(reply.hospital, name, samples, node, reply.head, reply.labels, reply.labels_signature)


def _register(request: SignedRequest, ledger: Ledger, requests: Path) -> None:
    """Bring a registration to the ledger; where members have to vote on it first, put it on file for them.

    Raises:
        FederationError: not enough of them have; where it is, and what to do.
        ContractRejectedError: another reason.
        StoreError: it cannot be put on file.
    """
    registration = request.message
    assert isinstance(registration, Registration)
    path = requests / f"join-{registration.member}.json"
    try:
        ledger.register(registration, request.envelope_key, *request.signatures)
    except ContractRejectedError as error:
        if error.name != "NotApproved":
            raise
        request.write(path)
        _, approvals, voters = error.arguments
        raise FederationError(
            f"{registration.member} joins once more than half of the {voters} hospitals approve; {approvals} "
            f"do so far. Its signed registration is {path}: give it to them, each signs with "
            f"`fedcxr member approve HOSPITAL join {path.name}`, bring what they sign with "
            "`fedcxr member relay`, and start the run again."
        ) from None
    path.unlink(missing_ok=True)  # what lies there waits for votes


def _check_labels(member: HospitalNode, request: RegisterRequest) -> None:
    """See that a hospital has signed which labels it has: in a round, others hold it to that.

    Raises:
        FederationError: it has not.
    """
    stated = Labels(request.federation, member.address, member.labels)
    try:
        signer = recover(stated, member.labels_signature, Domain(request.chain_id, request.contract))
    except LedgerError as error:
        signer = str(error)
    if signer != member.address or member.labels >> LABELS:
        raise FederationError(f"{member.address} states no labels; its statement was signed by: {signer}")


def _check_response(reply: RegisterReply, request: RegisterRequest) -> None:
    """A registration can be copied from the chain; an answer to this run's challenge cannot.

    Raises:
        FederationError: another key than the address's has signed, or none.
    """
    response = ChallengeResponse(request.federation, reply.hospital, request.challenge)
    check_length(reply.presence)
    if not request.contract:
        return  # without a ledger nothing is signed
    try:
        signer = recover(response, reply.presence, Domain(request.chain_id, request.contract))
    except LedgerError as error:
        signer = str(error)
    if signer != reply.hospital:
        raise FederationError(f"it answers as {reply.hospital}, but the challenge was signed by: {signer}")
