"""A masked federation whose chain, coordinator and hospitals' disks are in a test's hands, to be branched.

Hospitals are the real ones, on directories of their own, with the real contract on an embedded chain that is
shown to them at a URL of this process. A branch is a copy of all of it at this moment: the same hospitals on
another chain with the same blocks so far, as a coordinator with two chains has them.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from clients.disk import HospitalDisk
from clients.hospital import Hospital
from clients.membership import rotate
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.here import shown_here
from fedcxr.chain.rpc_server import SEND_GAS, Front
from fedcxr.config import Config
from fedcxr.errors import EnvelopeError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import HOSPITAL, Registration, Rotation, Signed, SignedSubmission, sign
from fedcxr.ledger.statements import Labels, Unmasking
from fedcxr.masked_rounds.answers import SEED, SHARE, Answer, answer_digest, entries_of
from fedcxr.masked_rounds.attempts import masked_attempt
from fedcxr.masked_rounds.header_leaves import ShownHeader, header_leaves_to_bytes
from fedcxr.masked_rounds.rare_labels import stated_labels
from fedcxr.messages import (
    RefusalReply,
    RegisterRequest,
    TrainRequest,
    UnmaskReply,
    UnmaskRequest,
    UpdateReply,
)
from fedcxr.privacy.keys import EnvelopePublicKey
from fedcxr.privacy.masked import read_header
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.privacy.secagg.header import MaskedHeader, split
from fedcxr.run.founding import coordinator_identity, federation_id, open_ledger, prepare_genesis
from fedcxr.run.preparation import open_or_create, prepare_simulation
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update import fixed_point, merkle, model_file
from fedcxr.update.fixed_point import Ring
from fedcxr.update.layout import Layout, Vector
from fedcxr.update.round_config import LABELS, RareLabels, RoundConfig

Lie = Callable[[str, list[Any], dict[str, Any]], dict[str, Any]]
"""A method and its parameters, and what the chain answers to them; what is answered instead."""
Updates = Mapping[int, UpdateReply]
"""What hospitals have sent, by the number of the hospital, which is its seat."""


@dataclass
class _Endpoint(Front):
    """A chain as it is shown; :attr:`lie` may be put in its way at any time."""

    chain: EmbeddedChain
    lie: Lie | None = None

    def __post_init__(self) -> None:
        super().__init__(self.chain, SEND_GAS)

    def answer(self, method: str, params: list[Any]) -> dict[str, Any]:
        answered = super().answer(method, params)
        return answered if self.lie is None else self.lie(method, params, answered)


@dataclass
class MaskedParty:
    """A federation at one moment.

    Attributes:
        root: folder with the chain's file and the hospitals' directories.
        run: that it was founded as.
        ledger: the contract, as the coordinator writes to it.
        endpoint: by which hospitals see it.
        url: of that endpoint.
        base: the model of the round that is open, or is opened next.
        updates: what came in the latest attempt, where it was kept.
    """

    root: Path
    run: RunDirectory
    ledger: FederationLedger
    endpoint: _Endpoint
    url: str
    layout: Layout
    base: Vector
    updates: dict[int, UpdateReply] = field(default_factory=dict)
    stated: dict[int, tuple[str, tuple[int, bytes]]] = field(default_factory=dict)  # account and labels
    participants: Sequence[int] = ()  # of the latest attempt
    false_labels: Callable[[RareLabels], RareLabels | None] | None = None  # what a coordinator makes of them

    @property
    def config(self) -> Config:
        return self.run.config

    # ---------------------------------------------------------------------------------------- the hospitals

    def directory(self, index: int) -> Path:
        return self.root / f"hospital-{index}"

    def disk(self, index: int) -> HospitalDisk:
        return HospitalDisk(self.directory(index))

    def hospital(self, index: int) -> Hospital:
        """As it is at the moment of a message: nothing but what is on its disk is known to it."""
        return Hospital(self.disk(index))

    def identity(self, index: int) -> Identity:
        return Identity.load(self.directory(index) / "identity.json")

    def address(self, index: int) -> str:
        return self.identity(index).account.address

    def journal(self, index: int) -> str:
        paths = sorted(self.directory(index).glob("0x*/journal.jsonl"))
        return "".join(path.read_text() for path in paths)

    def limit(self, index: int, **limits: object) -> None:
        """Write limits into a hospital's own settings."""
        settings = self.disk(index).settings
        changed = settings.limits.model_copy(update=limits)
        text = settings.model_copy(update={"limits": changed}).to_toml()
        (self.directory(index) / "hospital.toml").write_text(text)

    # ------------------------------------------------------------------------------------- the coordinator

    def register(self, index: int) -> None:
        reply = self.hospital(index).register(self._register_request)
        key_digest = EnvelopePublicKey(reply.envelope_key).digest
        federation = federation_id(self.config)
        registration = Registration(federation, reply.hospital, reply.roles, reply.samples, key_digest)
        self.ledger.register(registration, reply.envelope_key, reply.signature)
        self.stated[index] = reply.hospital, (reply.labels, reply.labels_signature)

    def register_with(self, index: int, mask_key: bytes) -> None:
        """Register a hospital of the coordinator's own making, with this public mask key."""
        invented = Identity.fresh("X25519", masks=True)
        self.directory(index).mkdir()
        invented.write(self.directory(index) / "identity.json")
        key = invented.envelope_key.public.data[:-32] + mask_key
        digest = hashlib.sha256(key).digest()
        message = Registration(self.ledger.views.federation, invented.account.address, HOSPITAL, 10, digest)
        domain = self.ledger.views.domain
        self.ledger.register(message, key, sign(invented.account, message, domain))
        labels = Labels(self.ledger.views.federation, invented.account.address, (1 << LABELS) - 1)
        self.stated[index] = labels.hospital, (labels.labels, sign(invented.account, labels, domain))

    def rotate(self, index: int, order: Path) -> None:
        """Give a hospital new keys, and its seat to them."""
        request = rotate(self.directory(index), order)
        assert isinstance(request.message, Rotation)
        self.ledger.membership.rotate_key(request.message, request.envelope_key, *request.signatures)

    @property
    def number(self) -> int:
        """Of the round that is in progress, or comes next."""
        return self.ledger.last_finalized + 1

    def round_config(self, exponent: int = 0) -> RoundConfig:
        """Of the present round; ``exponent``: by how much the first one is moved."""
        first, *rest = fixed_point.choose_exponents(self.layout, self.base, None)
        return RoundConfig(
            round=self.number,
            config=self.config.digest().hex(),
            layout=self.layout.digest.hex(),
            partition=self.run.partition_digest(),
            exponents=(first + exponent, *rest),
            rare=self.rare_labels(),
        )

    def rare_labels(self) -> RareLabels | None:
        """What is withheld in the latest attempt, or in one that is opened next."""
        if not self.config.federation.withholds or len(self.participants) < 3:
            return None
        stated = dict(self.stated[index] for index in self.participants)
        honest = stated_labels(self.ledger.views, stated, self.config.privacy.colluder_parts)
        return honest if self.false_labels is None else self.false_labels(honest)

    def open(self, participants: Sequence[int], *, exponent: int = 0) -> RoundView:
        self.updates, self.participants = {}, participants
        return self.ledger.open_round(
            self.number,
            base=model_file.vector_digest(self.base),
            config_digest=self.round_config(exponent).digest,
            participants=[self.address(index) for index in participants],
            deadline_seconds=self.config.ledger.deadline,
        )

    def train_request(self, *, exponent: int = 0) -> TrainRequest:
        return TrainRequest(
            round=self.number,
            attempt=self.ledger.round(self.number).attempt,
            round_config=self.round_config(exponent).to_bytes(),
            weight=1,
            bulk=self.base.astype("<f4").tobytes(),
        )

    def train(self, index: int, *, exponent: int = 0) -> UpdateReply | RefusalReply:
        """Ask a hospital for its update of the open attempt."""
        return self.hospital(index).train(self.train_request(exponent=exponent))

    def collect(self, indices: Sequence[int]) -> dict[int, UpdateReply]:
        """Ask hospitals, all of which send an update."""
        for index in indices:
            reply = self.train(index)
            assert isinstance(reply, UpdateReply), f"hospital {index} refused: see its log"
            self.updates[index] = reply
        return self.updates

    def submit(self, indices: Sequence[int]) -> None:
        """Bring these hospitals' updates to the contract."""
        verdicts = self.ledger.submit([self.submission(self.updates[index]) for index in indices])
        assert all(verdict.accepted for verdict in verdicts), [str(v.error) for v in verdicts]

    def submission(self, reply: UpdateReply) -> SignedSubmission:
        return SignedSubmission(reply.submission(self.ledger.views.federation), reply.signature)

    def close(self, indices: Sequence[int]) -> None:
        """Submit for these hospitals and close the attempt: they are the set."""
        self.submit(indices)
        self.ledger.close(self.number, bytes(32))

    def abort(self) -> None:
        self.ledger.abort(self.number, "aborted")

    def attempt(self) -> MaskedAttempt:
        """The latest attempt, as its chain has it."""
        parts = self.config.privacy.colluder_parts
        return masked_attempt(self.ledger.views, self.number, parts, self.layout.size)

    def request(self, index: int, updates: Updates | None = None, **changes: object) -> UnmaskRequest:
        """What the hospital is asked in the second trip, with the headers of these updates."""
        known = self.updates if updates is None else updates
        attempt = self.attempt()
        view = self.ledger.round(self.number)
        accepted = [view.seats[address] for address in view.counted]
        shown = [shown_header(seat, known[seat].bulk) for seat in accepted if seat != index and seat in known]
        request = UnmaskRequest(
            round=self.number,
            attempt=attempt.attempt,
            listing=b"",
            heads=b"",
            bulk=header_leaves_to_bytes(attempt, index, shown),
        )
        return replace(request, **changes)  # type: ignore[arg-type]

    def unmask(self, index: int, updates: Updates | None = None, **changes: object) -> UnmaskReply:
        return self.hospital(index).unmask(self.request(index, updates, **changes))

    @contextmanager
    def lying(self, lie: Lie) -> Iterator[None]:
        """Show hospitals another chain than there is."""
        self.endpoint.lie = lie
        self.ledger.views.forget()
        try:
            yield
        finally:
            self.endpoint.lie = None

    @contextmanager
    def branch(self, root: Path) -> Iterator[MaskedParty]:
        """A copy of everything at this moment, while the context lasts."""
        shutil.copytree(self.root, root)
        with _shown(root, self.run, self.layout) as party:
            party.base, party.updates = self.base, dict(self.updates)
            party.stated, party.participants = dict(self.stated), self.participants
            yield party

    @property
    def _register_request(self) -> RegisterRequest:
        return RegisterRequest(
            config=self.config.canonical_json(),
            layout=self.layout.to_json(),
            federation=federation_id(self.config),
            chain_id=self.config.ledger.chain_id,
            contract=self.ledger.address,
            coordinator_key=coordinator_identity(self.run).envelope_key.public.data,
            auditor_key=b"",
            challenge=b"?" * 32,
        )


def shown_header(seat: int, blob: bytes) -> ShownHeader:
    """The header of an update with the paths of its leaves, as the coordinator keeps it."""
    header = read_header(blob)
    leaves = header.facts.leaves
    _, paths = merkle.root_and_paths(blob, leaves)
    return ShownHeader(seat, header.facts, split(blob[: leaves * merkle.LEAF_SIZE]), paths)


def header_of(reply: UpdateReply) -> MaskedHeader:
    return read_header(reply.bulk)


def vector_of(reply: UpdateReply) -> Ring:
    """y, the masked vector."""
    begin = header_of(reply).facts.leaves * merkle.LEAF_SIZE
    return np.frombuffer(reply.bulk, "<u4", offset=begin).copy()


def answer_of(reply: UnmaskReply, attempt: MaskedAttempt) -> Answer:
    """A reply as the coordinator takes it."""
    said = Unmasking(
        federation=attempt.federation,
        round=reply.round,
        attempt=reply.attempt,
        hospital=reply.hospital,
        context=reply.context,
        accepted=int.from_bytes(reply.accepted),
        block=reply.block,
        block_hash=reply.block_hash,
        answer=answer_digest(reply.answer),
    )
    seat = attempt.seat_of(bytes.fromhex(reply.hospital[2:]))
    return Answer(seat, Signed(said, reply.signature), reply.answer)


def released(reply: UnmaskReply, attempt: MaskedAttempt) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """The shares and the pair seeds in an answer, by the seat of the neighbour."""
    seat = attempt.seat_of(bytes.fromhex(reply.hospital[2:]))
    accepted = [k for k in attempt.seats if int.from_bytes(reply.accepted) >> k & 1]
    shares, seeds = dict[int, bytes](), dict[int, bytes]()
    for other, kind, secret in entries_of(attempt, seat, accepted, reply.answer):
        if kind in (SHARE, SEED):
            (shares if kind == SHARE else seeds)[other] = secret
    return shares, seeds


def opened_share(party: MaskedParty, holder: int, owner: int, reply: UpdateReply) -> bytes | None:
    """The share of an owner's self-mask that a holder who colludes opens with its own key."""
    from cryptography.exceptions import InvalidTag

    from fedcxr.privacy.secagg.seeds import share_info

    attempt = party.attempt()
    index = [each.seat for each in attempt.neighbours(owner)].index(holder)
    sealed = header_of(reply).commitments[index].sealed
    try:
        return party.identity(holder).envelope_key.open(sealed, share_info(attempt.context, owner, holder))
    except (InvalidTag, ValueError, EnvelopeError):
        return None


@contextmanager
def found(config: Config, out: Path, hospitals: int) -> Iterator[MaskedParty]:
    """Found a federation with these many hospitals of the partition, all of them registered."""
    run = open_or_create(out / "run", config)
    prepare_simulation(run, lambda what, done, total: None)
    layout = prepare_genesis(run)
    root = out / "party"
    root.mkdir()
    with closing(EmbeddedChain(root / "chain.sqlite", chain_id=config.ledger.chain_id)) as chain:
        open_ledger(run, layout, chain)
    for index in range(hospitals):
        shutil.copytree(run.hospital(index), root / f"hospital-{index}")
    with _shown(root, run, layout) as party:
        for index in range(hospitals):
            party.register(index)
        yield party


@contextmanager
def _shown(root: Path, run: RunDirectory, layout: Layout) -> Iterator[MaskedParty]:
    """A federation in its folder, with its chain open and shown to its hospitals."""
    url = f"http://party-{hashlib.sha256(str(root).encode()).hexdigest()[:16]}.invalid"
    for directory in root.glob("hospital-*"):
        settings = HospitalDisk(directory).settings.model_copy(update={"ledger": url})
        (directory / "hospital.toml").write_text(settings.to_toml())
    with closing(EmbeddedChain(root / "chain.sqlite", chain_id=run.config.ledger.chain_id)) as chain:
        endpoint = _Endpoint(chain)
        account = coordinator_identity(run).account
        chain.fund(account.address)
        ledger = FederationLedger.attach(chain.w3, run.read_facts().contract, account)
        base = model_file.read(run.model(0), layout)
        with shown_here(url, endpoint):
            yield MaskedParty(root, run, ledger, endpoint, url, layout, base)
