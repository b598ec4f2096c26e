"""A hospital in the federation that it has joined: what it signs, and what it holds against the contract."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from clients.disk import HospitalDisk, Membership
from clients.ledger import attach_ledger
from clients.open_round import OpenRound
from fedcxr import config as configuration
from fedcxr import json_text
from fedcxr.config import Config
from fedcxr.errors import BaseMismatchError, EnvelopeError, FederationError
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.round_rules import RoundRules
from fedcxr.ledger.signed_json import signed_to_tree
from fedcxr.ledger.signing import Domain, Refusal, Signed, Struct, commitment, sign
from fedcxr.ledger.views import FederationViews
from fedcxr.messages import RefusalReply, TrainRequest, ValidateRequest
from fedcxr.privacy.keys import EnvelopePublicKey
from fedcxr.privacy.kinds import protection_named
from fedcxr.privacy.protection import Protection, UpdateContext
from fedcxr.privacy.secagg.outgoing import OutgoingMask
from fedcxr.store.identity import Identity
from fedcxr.training.first_model import FirstModel
from fedcxr.update import merkle
from fedcxr.update.fixed_point import Ring
from fedcxr.update.layout import Layout, Vector
from fedcxr.update.round_config import RoundConfig


@dataclass(frozen=True)
class Member:
    """A hospital in the federation that it has joined."""

    disk: HospitalDisk
    identity: Identity
    membership: Membership

    @cached_property
    def config(self) -> Config:
        return configuration.validate(json_text.parse(self.membership.config), where="federation.json")

    @cached_property
    def rules(self) -> RoundRules:
        """What the configuration says of rounds."""
        return RoundRules(self.config)

    @cached_property
    def layout(self) -> Layout:
        return Layout.from_json(self.membership.layout)

    @cached_property
    def ledger(self) -> FederationViews | None:
        """The contract through this hospital's own endpoint; None where its settings say that there is none.

        Raises:
            FederationError, ChainError: as :func:`~clients.ledger.attach_ledger`.
        """
        return attach_ledger(self.disk, self.membership.contract, self.membership.chain_id)

    @property
    def address(self) -> str:
        return self.identity.account.address

    @property
    def domain(self) -> Domain:
        """EIP-712 domain of the federation's contract."""
        return Domain(self.membership.chain_id, self.membership.contract)

    def sign(self, struct: Struct, identity: Identity | None = None) -> bytes:
        """EIP-712 signature, in the journal before it leaves; empty when there is no contract to sign for.

        Args:
            struct: what is signed.
            identity: former keys, where it is signed with those.
        """
        signed = Signed(struct, self.signature(struct, identity))
        self.journal(signed)
        return signed.signature

    def signature(self, struct: Struct, identity: Identity | None = None) -> bytes:
        """As :meth:`sign`, but not in the journal yet: :meth:`journal` puts it there."""
        if not self.membership.contract:
            return b""
        return sign((identity or self.identity).account, struct, self.domain)

    def journal(self, signed: Signed[Any]) -> None:
        """Put what was signed into the journal.

        Raises:
            StoreError: it cannot be written; then nothing may leave.
        """
        if self.membership.contract:
            self.disk.record(self.address, {"kind": signed.message.kind(), **signed_to_tree(signed)})

    def identity_of(self, account: str) -> Identity:
        """The hospital's keys under one of its accounts.

        Raises:
            StoreError: they are not here.
        """
        return self.identity if account == self.address else self.disk.former_identity(account)

    @property
    def recipients(self) -> list[EnvelopePublicKey]:
        """Whom updates are sealed to: keys that were held against the contract when the hospital joined."""
        keys = (self.membership.coordinator_key, self.membership.auditor_key)
        return [EnvelopePublicKey(bytes.fromhex(key)) for key in keys if key]

    @property
    def protection(self) -> Protection:
        """What protects this hospital's updates, by the configuration that it joined with."""
        return protection_named(self.config.privacy.envelope, self.config.federation.update_form)

    def protect(
        self, update: Ring, round_number: int, weight: int, mask: OutgoingMask | None = None
    ) -> bytes:
        """An update, which carries the hospital's weight in the round, as it leaves.

        Args:
            update: uint32 (n,); changed where it is masked.
            round_number: 1-based.
            weight: of the hospital.
            mask: of the attempt, where updates are masked.
        """
        context = UpdateContext(
            federation=self.membership.federation,
            round=round_number,
            hospital=self.address,
            layout=self.layout.digest.hex(),
            values=self.layout.size,
            weight=weight,
            masks=b"" if mask is None else mask.attempt.context,
        )
        shown = self.config.validation.policy == "committee"
        return self.protection.protect(update, context, self.recipients, shown=shown, mask=mask)

    def created_model(self) -> FirstModel:
        """The federation's model as it is created here.

        Raises:
            FederationError: it has other tensors than the federation's.
            ConfigError, ModelError: it cannot be made here.
        """
        created = FirstModel.of(self.config)
        if created.layout != self.layout:
            what = "frozen weights" if created.layout.tensors == self.layout.tensors else "tensors"
            raise FederationError(
                f"the model here has other {what} than the federation's: update fedcxr, and see that "
                "model.pretrained is the same file."
            )
        return created

    def refuse(self, round_number: int, seen: bytes) -> RefusalReply:
        """The hospital's signed word that it does not train in a round, from the model with this digest.

        Where that is the very model that the ledger holds, its own limits or the rules were passed over.
        """
        refusal = Refusal(bytes.fromhex(self.membership.federation), round_number, self.address, seen)
        signature = self.sign(refusal)
        return RefusalReply(round=round_number, hospital=self.address, seen=seen, signature=signature)

    def check_round(self, request: TrainRequest, round_config: RoundConfig, base: bytes) -> OpenRound:
        """The round, once it is what the contract says.

        Raises:
            BaseMismatchError: the contract holds another base model.
            FederationError: the round is not open, its configuration differs, or this hospital is not in it.
        """
        number = request.round
        expected = (number, self.config.digest().hex(), self.layout.digest.hex())
        if (round_config.round, round_config.config, round_config.layout) != expected:
            raise FederationError(f"round {number}: its configuration is for another round or federation.")
        ledger = self.ledger
        if ledger is None:
            # This hospital's own settings say that there is no ledger.
            return OpenRound(number, request.attempt, base, self.address, request.weight)
        view = ledger.round(number)
        if view.status != RoundPhase.OPEN or view.attempt != request.attempt:
            raise FederationError(f"round {number}, attempt {request.attempt}, is not open on the ledger.")
        if view.config_digest != round_config.digest:
            raise FederationError(f"round {number}: the contract holds another round configuration.")
        if self.address not in view.weights:
            raise FederationError(f"round {number}: {self.address} is not among its participants.")
        if view.base != base:
            raise BaseMismatchError(
                f"round {number}: the server sent a model with digest {base.hex()}, "
                f"but the contract holds {view.base.hex()}; refused."
            )
        return OpenRound(
            number, request.attempt, base, self.address, view.weights[self.address], view, ledger
        )

    def check_candidate(self, request: ValidateRequest) -> tuple[bytes, Vector, Ring, int]:
        """An update to judge, once it is what the contract accepted.

        Returns:
            Its commitment, the base model, the update's vector, of whatever length its hospital committed to,
            and its hospital's weight.

        Raises:
            FederationError: it is not.
        """
        where = f"round {request.round}, update of {request.hospital}"
        ledger = self.ledger
        if ledger is None:
            raise FederationError(f"{where}: without a ledger nothing is judged.")
        view = ledger.round(request.round)
        if view.status != RoundPhase.CLOSED or view.attempt != request.attempt:
            raise FederationError(f"{where}: the round is {view.status}, attempt {view.attempt}.")
        if request.hospital not in view.weights:
            raise FederationError(f"{where}: no participant.")
        if RoundConfig.from_bytes(request.round_config).digest != view.config_digest:
            raise FederationError(f"{where}: the contract holds another round configuration.")
        claimed = commitment(request.submission(ledger.federation))
        seat = view.seats[request.hospital]
        if claimed != ledger.commitment(request.round, request.attempt, seat):
            raise FederationError(f"{where}: the contract accepted another one.")
        size = 4 * self.layout.size
        if len(request.bulk) < size or len(request.bulk) % 4:
            raise FederationError(f"{where}: {len(request.bulk)} bytes hold no model and vector.")
        base = np.frombuffer(request.bulk, "<f4", self.layout.size).astype(np.float32, copy=False)
        update = np.frombuffer(request.bulk, "<u4", offset=size).astype(np.uint32, copy=False)
        if merkle.root(base) != view.base:
            raise FederationError(f"{where}: the base model is not the contract's.")
        try:
            committed = self.protection.committed_root(
                request.root, request.size, request.header, request.paths
            )
        except EnvelopeError as error:
            raise FederationError(f"{where}: {error}") from None
        if merkle.root(update) != committed:
            raise FederationError(f"{where}: its values are not those that its hospital committed to.")
        return claimed, base, update, view.weights[request.hospital]
