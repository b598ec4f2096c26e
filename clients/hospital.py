"""What one hospital does when it is asked to join a federation, and to train in a round."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, nullcontext
from functools import cached_property

import numpy as np

from clients.disk import HospitalDisk, Membership
from clients.first_model import check_first_model
from clients.founding_check import check_federation
from clients.judgement import SCALE, Judgement, judge
from clients.limits import check_judging, check_training
from clients.lookout import Lookout
from clients.masking import Masking
from clients.member import Member
from clients.open_round import OpenRound
from clients.private_training import PrivateTraining, check_budget
from clients.rare_labels import check_rare_labels, state_labels
from clients.rules import check_rules
from clients.shard import load_shard
from clients.signed_update import make_update
from clients.unmasking import unmask
from fedcxr import config as configuration
from fedcxr import json_text
from fedcxr.errors import (
    BaseMismatchError,
    FederationError,
    LayoutError,
    LimitError,
    NonFiniteError,
    RuleError,
)
from fedcxr.ledger.signing import (
    HOSPITAL,
    VALIDATOR,
    Attestation,
    ChallengeResponse,
    Registration,
)
from fedcxr.messages import (
    AttestationReply,
    RefusalReply,
    RegisterReply,
    RegisterRequest,
    TrainRequest,
    UnmaskReply,
    UnmaskRequest,
    UpdateReply,
    ValidateRequest,
)
from fedcxr.models.network import Network
from fedcxr.privacy.kinds import protection_named
from fedcxr.store.identity import Identity
from fedcxr.terminal import one_line
from fedcxr.training.batch_statistics import gather_statistics
from fedcxr.training.kept_network import NETWORK
from fedcxr.training.shared_tensors import load_local, local_state
from fedcxr.training.trainer import TrainingReport, train
from fedcxr.update import fixed_point, merkle
from fedcxr.update.kept_memory import MEMORY
from fedcxr.update.layout import Layout, Vector
from fedcxr.update.round_config import RoundConfig

logger = logging.getLogger(__name__)


class Hospital:
    """A hospital at the moment of one message: Flower may start a fresh process for each."""

    def __init__(self, disk: HospitalDisk) -> None:
        self.disk = disk
        self.name = disk.settings.name

    def register(self, request: RegisterRequest) -> RegisterReply:
        """Hold the federation against its contract, remember it, and sign a registration.

        Raises:
            FederationError: what the server says is not what the contract holds.
            ConfigError, DataError: the configuration or this hospital's data are not as they must be.
        """
        try:
            tree = json_text.parse(request.config)
        except ValueError as error:
            raise FederationError(f"{self.name}: the server's configuration is not JSON: {error}") from None
        config = configuration.validate(tree, where="the server's configuration")
        layout = Layout.from_json(request.layout)
        membership = Membership(
            federation=request.federation.hex(),
            chain_id=request.chain_id,
            contract=request.contract,
            config=request.config,
            layout=request.layout,
            coordinator_key=request.coordinator_key.hex(),
            auditor_key=request.auditor_key.hex(),
        )
        check_federation(self.disk, request, config, layout)
        masks = protection_named(config.privacy.envelope).unmasks
        identity = self.disk.identity(config.privacy.kem, masks=masks)
        check_budget(self.disk, config)
        self.disk.join(identity.account.address, membership)
        training = load_shard(self.disk, config).training
        samples = len(training)
        judges = config.validation.policy == "committee" and self.disk.settings.limits.takes_part_in(
            "judging"
        )
        roles = HOSPITAL | (VALIDATOR if judges else 0)
        envelope_key = identity.envelope_key.public
        registration = Registration(
            federation=request.federation,
            member=identity.account.address,
            roles=roles,
            samples=samples,
            envelope_key_digest=envelope_key.digest,
        )
        member = Member(self.disk, identity, membership)
        lookout = Lookout.of(member)
        lookout.look("registration")
        answer = ChallengeResponse(request.federation, identity.account.address, request.challenge)
        stated = state_labels(member, training) if config.federation.withholds else None
        return RegisterReply(
            name=self.name,
            hospital=identity.account.address,
            roles=roles,
            samples=samples,
            envelope_key=envelope_key.data,
            signature=member.sign(registration),
            presence=member.sign(answer),
            head=lookout.head,
            labels=0 if stated is None else stated.labels,
            labels_signature=b"" if stated is None else member.sign(stated),
        )

    def train(self, request: TrainRequest) -> UpdateReply | RefusalReply:
        """Train on the round's base model and return the sealed, signed update.

        A base model that the contract does not hold for this round is refused, under signature; so is a round
        that the configuration does not have or has otherwise, and one beyond the hospital's own limits.

        Raises:
            FederationError: not registered, not a participant, or the round is not as the server says; or
                (RewrittenChainError) the chain lacks a block that a hospital had seen.
            NonFiniteError: training diverged; nothing is sent.
        """
        began = time.perf_counter()
        member = self.member
        lookout, place = Lookout.of(member), (request.round, request.attempt)
        digest = request.hashed.root
        with ExitStack() as held:
            try:
                with nullcontext() if lookout.ledger is None else lookout.ledger.one_look():
                    lookout.look("round {}, attempt {}".format(*place), heads=request.heads, asked=place)
                    asked, round_config, base = self._check(request, member, digest)
                    masking = None
                    if member.protection.unmasks:
                        held.enter_context(self.disk.masking())
                        masking = Masking.begin(member, asked, round_config)
                if request.round == 1:
                    check_first_model(member, base, digest)
            except (BaseMismatchError, LimitError, RuleError) as error:
                logger.error("%s: %s", self.name, error)
                return member.refuse(request.round, digest)
            made = make_update(member, asked, round_config, base, masking=masking, train=self._train_from)
        if asked.view is not None:
            lookout.remember(made.signed, asked.view.seats[member.address])
        took = time.perf_counter() - began
        return UpdateReply.of(
            made.signed, made.metrics, made.blob, waited=made.waited, head=lookout.head, took=took
        )

    def unmask(self, request: UnmaskRequest) -> UnmaskReply:
        """Release what takes the masks off a round's sum, for the set of updates that the ledger has.

        Raises:
            UnsettledError: the chain may still take the set back.
            RuleError: nothing is released; the log says why.
            FederationError: this federation masks nothing, or this hospital is not in the attempt.
        """
        member = self.member
        lookout = Lookout.of(member)
        if lookout.ledger is None or not member.protection.unmasks:
            raise FederationError(f"round {request.round}: nothing is masked here.")
        with self.disk.masking(), lookout.ledger.one_look():
            occasion = f"unmasking of round {request.round}, attempt {request.attempt}"
            lookout.look(occasion, heads=request.heads)
            return unmask(member, lookout.ledger, request, lookout.head)

    def _check(
        self, request: TrainRequest, member: Member, digest: bytes
    ) -> tuple[OpenRound, RoundConfig, Vector]:
        """The round as the ledger has it, its configuration and its base model; raises as :meth:`train`.

        Raises:
            BaseMismatchError, LimitError, RuleError: what the hospital refuses under signature.
        """
        round_config = RoundConfig.from_bytes(request.round_config)
        asked = member.check_round(request, round_config, digest)
        if len(request.bulk) != 4 * member.layout.size:
            raise FederationError(
                f"round {request.round}: a model of {len(request.bulk)} bytes, "
                f"but the layout has {4 * member.layout.size}."
            )
        base = np.frombuffer(request.bulk, "<f4").astype(np.float32, copy=False)
        check_rules(member.rules, asked, round_config, member.layout, base)
        check_rare_labels(member, asked, round_config)
        check_training(self.disk.settings.limits, member.config, asked, lambda: self._images(member))
        check_budget(self.disk, member.config)
        if member.config.differential_privacy.on:
            examples = load_shard(self.disk, member.config).training
            PrivateTraining.of(member, examples).check(request.round, digest)
        return asked, round_config, base

    def validate(self, request: ValidateRequest) -> AttestationReply:
        """Judge another hospital's update on this hospital's held-back images, and sign the verdict.

        Raises:
            FederationError: not what the contract accepted, not a round in which anything is judged, or as
                for :meth:`train`.
            LimitError: this hospital judges nothing.
        """
        check_judging(self.disk.settings.limits, request.round)
        member = self.member
        Lookout.of(member).look(f"judging of round {request.round}, attempt {request.attempt}")
        commitment, base, update, weight = member.check_candidate(request)
        config = member.config
        round_config = RoundConfig.from_bytes(request.round_config)
        judged = load_shard(self.disk, config).held_back
        try:
            fixed_point.check_range(update, weight)
            candidate = fixed_point.apply(base, update, member.layout, round_config.exponents, weight)
            verdict = judge(base, candidate, member.layout, judged, config)
        except (LayoutError, NonFiniteError) as error:
            said = one_line(str(error))
            logger.warning("%s rejects the update of %s: %s", self.name, request.hospital, said)
            verdict = Judgement(accepted=False, score=-SCALE)
        attestation = Attestation(
            federation=bytes.fromhex(member.membership.federation),
            round=request.round,
            attempt=request.attempt,
            validator=member.address,
            hospital=request.hospital,
            commitment=commitment,
            accepted=verdict.accepted,
            score=verdict.score,
        )
        return AttestationReply(
            validator=member.address,
            hospital=request.hospital,
            commitment=commitment,
            accepted=verdict.accepted,
            score=verdict.score,
            signature=member.sign(attestation),
        )

    def _train_from(
        self, base: Vector, member: Member, round_number: int
    ) -> tuple[TrainingReport, int, Vector]:
        config, layout = member.config, member.layout
        examples = load_shard(self.disk, config).training
        with NETWORK.lent(config, layout, member.created_model) as model:
            layout.load(base, model)
            if member.rules.purpose(round_number) == "calibration":
                report = gather_statistics(
                    model, examples, config=config, round_index=round_number, hospital=self.name
                )
                return report, len(examples), _vector(model, layout)
            if config.differential_privacy.on:
                private = PrivateTraining.of(member, examples)
                report, vector = private.train(model, examples, merkle.root(base), round_number)
                return report, len(examples), vector
            states = self.disk.state(member.address)
            state = states.before(round_number)
            load_local(model, state)
            report = train(
                model, examples, config=config, round_index=round_number, hospital=self.name, state=state
            )
            states.write(round_number, {**state, **local_state(model, config)})
            return report, len(examples), _vector(model, layout)

    def _images(self, member: Member) -> int:
        return len(load_shard(self.disk, member.config).training)

    @cached_property
    def member(self) -> Member:
        """The hospital in its federation.

        Raises:
            FederationError: it has joined none.
        """
        addresses = [p.parent.name for p in self.disk.root.glob("*/federation.json")]
        if not addresses:
            raise FederationError(f"{self.name}: asked to train before it was registered.")
        identity = Identity.load(self.disk.root / "identity.json")
        return Member(self.disk, identity, self.disk.membership(identity.account.address))


def _vector(model: Network, layout: Layout) -> Vector:
    return layout.flatten(model.state_dict(), out=MEMORY.vector(layout.size).view(np.float32))
