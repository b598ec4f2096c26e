"""What the engine needs of a ledger: the contract's rules, wherever they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.signing import Refusal, Registration, SignedSubmission

Status = Literal["open", "finalized", "aborted"]


@dataclass(frozen=True)
class HospitalView:
    """A registered hospital: address, registered samples, and the digest of its envelope key."""

    address: str
    samples: int
    envelope_key_digest: bytes


@dataclass(frozen=True)
class AcceptedUpdate:
    """What the contract accepted from one hospital: roots of its blob and metrics, and its sizes."""

    root: bytes
    samples: int
    size: int
    metrics: bytes


@dataclass(frozen=True)
class RoundView:
    """A round as the ledger holds it.

    Attributes:
        number: 1-based.
        attempt: 1-based; an aborted round is opened again under the next.
        base: digest of the model that hospitals start from.
        config_digest: Merkle root of the round's configuration.
        deadline: seconds of chain time.
        participants: addresses, in the order of opening.
        weights: of each participant, computed by the contract.
        accepted: updates by hospital.
        status: open, finalized or aborted.
        aggregate_root, model_digest: 32 zero bytes until the round is finalized.
        included: hospitals in the aggregate.
        excluded: accepted hospitals that are not, with the reason given.
    """

    number: int
    attempt: int
    base: bytes
    config_digest: bytes
    deadline: int
    participants: tuple[str, ...]
    weights: Mapping[str, int]
    accepted: dict[str, AcceptedUpdate]
    status: Status
    aggregate_root: bytes = bytes(32)
    model_digest: bytes = bytes(32)
    included: tuple[str, ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What the ledger said of one submission; ``error`` is None when it was accepted."""

    hospital: str
    error: ContractRejectedError | None

    @property
    def accepted(self) -> bool:
        return self.error is None


class Ledger(Protocol):
    """The coordinator's view of the contract."""

    @property
    def genesis_digest(self) -> bytes: ...

    @property
    def last_finalized(self) -> int: ...

    @property
    def open_round_number(self) -> int:
        """0 when no round is open."""
        ...

    @property
    def gas_used(self) -> Mapping[str, int]:
        """Gas by kind of call, since this object was made."""
        ...

    def hospitals(self) -> Sequence[HospitalView]: ...

    def register(self, registration: Registration, envelope_key: bytes, signature: bytes) -> None: ...

    def open_round(
        self,
        number: int,
        *,
        base: bytes,
        config_digest: bytes,
        participants: Sequence[str],
        deadline_seconds: int,
    ) -> RoundView: ...

    def submit(self, batch: Sequence[SignedSubmission]) -> list[Verdict]: ...

    def refuse(self, refusal: Refusal, signature: bytes) -> None: ...

    def finalize(
        self,
        number: int,
        *,
        aggregate_root: bytes,
        model_digest: bytes,
        included: Sequence[str],
        excluded: Mapping[str, str],
    ) -> None: ...

    def abort(self, number: int, reason: str) -> None: ...

    def round(self, number: int) -> RoundView: ...
