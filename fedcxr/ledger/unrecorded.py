"""A ledger that keeps no record: the contract's rules in memory, to measure what the ledger costs.

Hospitals sign nothing, no update is late and nothing can be audited. The weights are the contract's, so that
the models are those of a run with a ledger. Nobody judges updates and nobody is rewarded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fedcxr.errors import ContractRejectedError, LedgerError
from fedcxr.ledger.acceptance import AcceptanceRules
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.protocol import AcceptedUpdate, MemberView, RoundView, Verdict
from fedcxr.ledger.rules import assign_weights, beyond_share
from fedcxr.ledger.signing import Domain, Refusal, Registration, SignedAttestation, SignedSubmission


class UnrecordedLedger:
    """A :class:`~fedcxr.ledger.protocol.Ledger` without a contract."""

    views: None = None

    def __init__(
        self,
        *,
        federation: bytes,
        genesis_digest: bytes,
        weighting: str,
        min_updates: int = 1,
        largest_share: int = 0,
    ) -> None:
        self.federation = federation
        self.genesis_digest = genesis_digest
        self.weighting = weighting
        self.min_updates = min_updates
        self.largest_share = largest_share
        self.last_finalized = 0
        self.round_in_progress = 0
        self.gas_used: Counter[str] = Counter()
        self._acceptance = AcceptanceRules(federation, domain=None, update_size=None)
        self._model_digest = genesis_digest
        self._members: dict[str, MemberView] = {}
        self._rounds: dict[int, RoundView] = {}

    @property
    def provisional(self) -> bool:
        """False: only the coordinator submits updates, so that none can be replaced."""
        return False

    @property
    def domain(self) -> Domain:
        """An empty domain, since nothing is signed."""
        return Domain(0, "0x" + "00" * 20)

    def block_hash(self, block: int) -> bytes | None:
        """None: there is no chain."""
        del block
        return None

    def members(self) -> list[MemberView]:
        return list(self._members.values())

    def register(self, registration: Registration, envelope_key: bytes, signature: bytes) -> None:
        del envelope_key, signature
        r = registration
        if r.member in self._members:
            raise ContractRejectedError("AlreadyRegistered", (r.member,))
        seat = len(self._members)
        self._members[r.member] = MemberView(
            seat, r.member, r.samples, r.roles, "active", r.envelope_key_digest
        )

    def open_round(
        self,
        number: int,
        *,
        base: bytes,
        config_digest: bytes,
        participants: Sequence[str],
        deadline_seconds: int,
    ) -> RoundView:
        del deadline_seconds
        if self.round_in_progress:
            status = self._rounds[self.round_in_progress].status
            raise ContractRejectedError("WrongPhase", (self.round_in_progress, status.number))
        if number != self.last_finalized + 1:
            raise ContractRejectedError("WrongRound", (self.last_finalized + 1, number))
        if base != self._model_digest:
            raise ContractRejectedError("WrongBase", (self._model_digest, base))
        members = sorted((self._members[a] for a in participants), key=lambda member: member.seat)
        weights = assign_weights([m.samples for m in members], self.weighting, self.largest_share)
        before = self._rounds.get(number)
        self._rounds[number] = RoundView(
            number=number,
            attempt=before.attempt + 1 if before else 1,
            base=base,
            config_digest=config_digest,
            deadline=0,
            participants=tuple(m.address for m in members),
            weights={m.address: weight for m, weight in zip(members, weights, strict=True)},
            seats={m.address: m.seat for m in members},
            accepted={},
            status=RoundPhase.OPEN,
        )
        self.round_in_progress = number
        return self.round(number)

    def draw_committee(self, number: int) -> list[str]:
        """No validators, since nobody judges updates."""
        del number
        return []

    def submit(self, batch: Sequence[SignedSubmission]) -> list[Verdict]:
        verdicts = []
        for signed in batch:
            s = signed.message
            known = self._members.get(s.hospital)
            view = self._rounds.get(self.round_in_progress)
            error = self._acceptance.objection(signed, view, known.samples if known else 0)
            if error is None:
                update = AcceptedUpdate(s.root, s.samples, s.size, s.metrics)
                self._rounds[s.round].accepted[s.hospital] = update
            verdicts.append(Verdict(s.hospital, error))
        return verdicts

    def refuse(self, refusal: Refusal, signature: bytes) -> None:
        """Do nothing: this ledger keeps no record."""

    def listing(self) -> bytes:
        """An empty list: nothing is recorded under a root."""
        return b""

    def close(self, number: int, list_root: bytes) -> None:
        del list_root
        view = self._in_phase(number, RoundPhase.OPEN)
        if len(view.accepted) < self.min_updates:
            raise ContractRejectedError("QuorumMissing", (len(view.accepted), self.min_updates))
        counted = tuple(a for a in view.participants if a in view.accepted)
        self._rounds[number] = replace(view, status=RoundPhase.VALIDATED, counted=counted)

    def attest(self, batch: Sequence[SignedAttestation]) -> list[Verdict]:
        """Reject every attestation, since nobody judges updates."""
        return [Verdict(s.message.validator, ContractRejectedError("NoCommittee")) for s in batch]

    def countable(self, number: int) -> bool:
        """True: the updates were counted when the round was closed."""
        del number
        return True

    def validate(self, number: int) -> None:
        """Do nothing: every accepted update counts from the moment the round is closed."""

    def publish_seeds(self, number: int, root: bytes) -> None:
        """Do nothing: this ledger keeps no record, and masked rounds want one."""

    def finalize(
        self,
        number: int,
        *,
        aggregate_root: bytes,
        model_digest: bytes,
        excluded: Mapping[str, str],
    ) -> None:
        view = self._in_phase(number, RoundPhase.VALIDATED)
        for address in excluded:
            if address not in view.counted:
                raise ContractRejectedError("NotAccepted", (number, address))
        included = tuple(a for a in view.counted if a not in excluded)
        if len(included) < self.min_updates:
            raise ContractRejectedError("QuorumMissing", (len(included), self.min_updates))
        weights = {address: view.weights[address] for address in included}
        if largest := beyond_share(weights, self.largest_share):
            arguments = (view.seats[largest], weights[largest], sum(weights.values()))
            raise ContractRejectedError("ShareTooLarge", arguments)
        self._rounds[number] = replace(
            view,
            status=RoundPhase.FINALIZED,
            aggregate_root=aggregate_root,
            model_digest=model_digest,
            included=included,
            excluded=dict(excluded),
        )
        self._model_digest = model_digest
        self.last_finalized, self.round_in_progress = number, 0

    def settle(self) -> None:
        """Do nothing: nobody is rewarded."""

    def abort(self, number: int, reason: str) -> None:
        del reason
        self._rounds[number] = replace(self._rounds[number], status=RoundPhase.ABORTED)
        self.round_in_progress = 0

    def round(self, number: int) -> RoundView:
        if number not in self._rounds:
            raise LedgerError(f"round {number} was never opened.")
        view = self._rounds[number]
        return replace(view, accepted=dict(view.accepted))

    def _in_phase(self, number: int, status: RoundPhase) -> RoundView:
        view = self._rounds.get(number)
        if view is None or number != self.round_in_progress or view.status != status:
            raise ContractRejectedError(
                "WrongPhase", (number, (view.status if view else RoundPhase.NONE).number)
            )
        return view
