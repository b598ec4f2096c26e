"""A ledger that keeps no record: the contract's rules in memory, to measure what the ledger costs.

Nothing is signed, nothing is late and nothing can be audited; the weights are the contract's, so that the
models are too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fedcxr.errors import ContractRejectedError, LedgerError
from fedcxr.ledger.protocol import AcceptedUpdate, HospitalView, RoundView, Verdict
from fedcxr.ledger.signing import Refusal, Registration, SignedSubmission
from fedcxr.update.fixed_point import WEIGHT_SUM


def assign_weights(samples: Sequence[int], weighting: str) -> list[int]:
    """The contract's integer weights: at least 1 each, at most WEIGHT_SUM together."""
    count = len(samples)
    if weighting == "uniform":
        return [WEIGHT_SUM // count] * count
    return [1 + s * (WEIGHT_SUM - count) // sum(samples) for s in samples]


class UnrecordedLedger:
    """The coordinator's view of a contract that is not there."""

    def __init__(self, *, federation: bytes, genesis_digest: bytes, weighting: str) -> None:
        self.federation = federation
        self.genesis_digest = genesis_digest
        self.weighting = weighting
        self.last_finalized = 0
        self.open_round_number = 0
        self.gas_used: Counter[str] = Counter()
        self._model_digest = genesis_digest
        self._hospitals: dict[str, HospitalView] = {}
        self._rounds: dict[int, RoundView] = {}

    def hospitals(self) -> list[HospitalView]:
        return list(self._hospitals.values())

    def register(self, registration: Registration, envelope_key: bytes, signature: bytes) -> None:
        del envelope_key, signature
        address = registration.hospital
        if address in self._hospitals:
            raise ContractRejectedError("AlreadyRegistered", (address,))
        self._hospitals[address] = HospitalView(
            address, registration.samples, registration.envelope_key_digest
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
        if self.open_round_number:
            raise ContractRejectedError("RoundAlreadyOpen", (self.open_round_number,))
        if number != self.last_finalized + 1:
            raise ContractRejectedError("WrongRound", (self.last_finalized + 1, number))
        if base != self._model_digest:
            raise ContractRejectedError("WrongBase", (self._model_digest, base))
        weights = assign_weights([self._hospitals[a].samples for a in participants], self.weighting)
        before = self._rounds.get(number)
        self._rounds[number] = RoundView(
            number=number,
            attempt=before.attempt + 1 if before else 1,
            base=base,
            config_digest=config_digest,
            deadline=0,
            participants=tuple(participants),
            weights=dict(zip(participants, weights, strict=True)),
            accepted={},
            status="open",
        )
        self.open_round_number = number
        return self.round(number)

    def submit(self, batch: Sequence[SignedSubmission]) -> list[Verdict]:
        verdicts = []
        for signed in batch:
            s = signed.submission
            error = self._reason(signed)
            if error is None:
                update = AcceptedUpdate(s.root, s.samples, s.size, s.metrics)
                self._rounds[s.round].accepted[s.hospital] = update
            verdicts.append(Verdict(s.hospital, error))
        return verdicts

    def refuse(self, refusal: Refusal, signature: bytes) -> None:
        """There is nowhere to put it."""

    def finalize(
        self,
        number: int,
        *,
        aggregate_root: bytes,
        model_digest: bytes,
        included: Sequence[str],
        excluded: Mapping[str, str],
    ) -> None:
        self._rounds[number] = replace(
            self._rounds[number],
            status="finalized",
            aggregate_root=aggregate_root,
            model_digest=model_digest,
            included=tuple(included),
            excluded=dict(excluded),
        )
        self._model_digest = model_digest
        self.last_finalized, self.open_round_number = number, 0

    def abort(self, number: int, reason: str) -> None:
        del reason
        self._rounds[number] = replace(self._rounds[number], status="aborted")
        self.open_round_number = 0

    def round(self, number: int) -> RoundView:
        if number not in self._rounds:
            raise LedgerError(f"round {number} was never opened.")
        view = self._rounds[number]
        return replace(view, accepted=dict(view.accepted))

    def _reason(self, signed: SignedSubmission) -> ContractRejectedError | None:
        """The contract's checks, in its order, less the signature and the deadline."""
        s = signed.submission
        if s.federation != self.federation:
            return ContractRejectedError("WrongFederation", (self.federation, s.federation))
        if s.round == 0 or s.round != self.open_round_number:
            return ContractRejectedError("RoundNotOpen", (s.round,))
        view = self._rounds[s.round]
        known = self._hospitals.get(s.hospital)
        registered = known.samples if known else 0
        rules: tuple[tuple[bool, str, tuple[object, ...]], ...] = (
            (s.attempt != view.attempt, "WrongAttempt", (view.attempt, s.attempt)),
            (s.hospital not in view.weights, "NotParticipant", (s.hospital,)),
            (s.base != view.base, "WrongBase", (view.base, s.base)),
            (s.samples == 0, "NoSamples", (s.hospital,)),
            (s.samples > registered, "TooManySamples", (registered, s.samples)),
            (s.size == 0 or s.root == bytes(32), "EmptyUpdate", (s.hospital,)),
            (s.hospital in view.accepted, "AlreadySubmitted", (s.round, s.hospital)),
        )
        return next((ContractRejectedError(name, values) for broken, name, values in rules if broken), None)
