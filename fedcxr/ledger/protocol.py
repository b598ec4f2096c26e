"""What the engine asks of a ledger, whether a contract or this process keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.membership_events import Standing
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.signing import (
    HOSPITAL,
    Domain,
    Refusal,
    Registration,
    SignedAttestation,
    SignedSubmission,
)

if TYPE_CHECKING:
    from fedcxr.ledger.views import FederationViews


@dataclass(frozen=True)
class MemberView:
    """A member of the federation.

    Attributes:
        seat: 0 to 255; its own for ever.
        address: of its present key.
        samples: registered images; 0 where it is no hospital.
        roles: bits of :mod:`fedcxr.ledger.signing`.
        standing: whether its key may act.
        envelope_key_digest: SHA-256.
    """

    seat: int
    address: str
    samples: int
    roles: int
    standing: Standing
    envelope_key_digest: bytes

    @property
    def is_active_hospital(self) -> bool:
        return self.standing == "active" and bool(self.roles & HOSPITAL)


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
        participants: addresses, in the order of their seats; one whose key was rotated meanwhile goes by the
            key that submitted, or else by its present key while the round is open, and later by the key that
            it had at the opening.
        weights: of each participant, computed by the contract.
        seats: of each account that a participant had between opening and closing.
        accepted: updates by hospital.
        status: where it stands.
        validation_deadline: seconds of chain time until which validators may attest; 0 where nobody judges.
        counted: accepted hospitals that validation let through; empty until it is validated.
        aggregate_root, model_digest: 32 zero bytes until the round is finalized.
        submissions_root: the one root over all submissions, where the federation records no more; else zeros.
        included: hospitals in the aggregate.
        excluded: counted hospitals that are not, with the reason given.
        list_root: of the list of all submissions in the store, where one root records all; else zeros.
    """

    number: int
    attempt: int
    base: bytes
    config_digest: bytes
    deadline: int
    participants: tuple[str, ...]
    weights: Mapping[str, int]
    seats: Mapping[str, int]
    accepted: dict[str, AcceptedUpdate]
    status: RoundPhase
    validation_deadline: int = 0
    counted: tuple[str, ...] = ()
    aggregate_root: bytes = bytes(32)
    model_digest: bytes = bytes(32)
    submissions_root: bytes = bytes(32)
    list_root: bytes = bytes(32)
    included: tuple[str, ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)

    @property
    def in_progress(self) -> bool:
        """Whether the round can still be finalized."""
        return self.status.in_progress

    @property
    def listed(self) -> bool:
        """Whether the round's submissions are in a list in the store, under :attr:`list_root`."""
        return self.list_root != bytes(32)

    def under(self, accounts: Mapping[int, str]) -> RoundView:
        """The same round, with participants under other accounts of theirs, by seat."""

        def known(address: str) -> str:
            return accounts.get(self.seats[address], address)

        return replace(
            self,
            participants=tuple(map(known, self.participants)),
            weights={known(address): weight for address, weight in self.weights.items()},
            seats={**self.seats, **{known(address): self.seats[address] for address in self.participants}},
            counted=tuple(map(known, self.counted)),
            included=tuple(map(known, self.included)),
        )


@dataclass(frozen=True)
class Verdict:
    """What the ledger said of one message of a batch; ``error`` is None when it was accepted.

    Attributes:
        signer: address of the hospital or validator.
        error: the contract's reason.
    """

    signer: str
    error: ContractRejectedError | None

    @property
    def accepted(self) -> bool:
        return self.error is None


class Ledger(Protocol):
    """The coordinator's view of the contract."""

    @property
    def views(self) -> FederationViews | None:
        """The contract as everyone can read it; None where this process keeps the ledger."""
        ...

    @property
    def domain(self) -> Domain:
        """EIP-712 domain that members sign for."""
        ...

    @property
    def genesis_digest(self) -> bytes:
        """Digest of the model that the first round starts from."""
        ...

    @property
    def last_finalized(self) -> int:
        """Number of the round that was finalized last; 0 before the first."""
        ...

    @property
    def round_in_progress(self) -> int:
        """Number of the round that is open, closed or validated; 0 when none is."""
        ...

    @property
    def gas_used(self) -> Mapping[str, int]:
        """Gas by kind of call, since this object was made."""
        ...

    @property
    def provisional(self) -> bool:
        """Whether an accepted update can still be replaced until the round is closed."""
        ...

    def block_hash(self, block: int) -> bytes | None:
        """Hash of the chain's block of a number; None where it has none."""
        ...

    def members(self) -> Sequence[MemberView]:
        """Everyone who has ever joined, in the order of their seats."""
        ...

    def register(self, registration: Registration, envelope_key: bytes, signature: bytes) -> None:
        """Admit a member under its signature."""
        ...

    def open_round(
        self,
        number: int,
        *,
        base: bytes,
        config_digest: bytes,
        participants: Sequence[str],
        deadline_seconds: int,
    ) -> RoundView:
        """Open a round for these addresses; ``deadline_seconds`` are counted from now."""
        ...

    def submit(self, batch: Sequence[SignedSubmission]) -> list[Verdict]:
        """Relay submissions; each is accepted or rejected on its own."""
        ...

    def refuse(self, refusal: Refusal, signature: bytes) -> None:
        """Put on record that a hospital was handed a model that is not the round's base."""
        ...

    def draw_committee(self, number: int) -> Sequence[str]:
        """Addresses of the round's validators; none where nobody judges."""
        ...

    def listing(self) -> bytes:
        """All submissions of the open round, to store before closing; empty where each is recorded."""
        ...

    def close(self, number: int, list_root: bytes) -> None:
        """Close the open round; ``list_root`` is the Merkle root of :meth:`listing`."""
        ...

    def attest(self, batch: Sequence[SignedAttestation]) -> list[Verdict]:
        """Relay validators' attestations; each is accepted or rejected on its own."""
        ...

    def countable(self, number: int) -> bool:
        """Whether every update of the closed round is decided, or the time to judge is over."""
        ...

    def validate(self, number: int) -> None:
        """Count the attestations of the closed round."""
        ...

    def publish_seeds(self, number: int, root: bytes) -> None:
        """Say under which root the seeds are that take the masks off the validated round's sum."""
        ...

    def finalize(
        self,
        number: int,
        *,
        aggregate_root: bytes,
        model_digest: bytes,
        excluded: Mapping[str, str],
    ) -> None:
        """Finalize the validated round with its result; ``excluded`` has reasons by hospital."""
        ...

    def settle(self) -> None:
        """Give the credits of the round that was finalized last, if there are any to give."""
        ...

    def abort(self, number: int, reason: str) -> None:
        """Abort the round in progress; its number can be opened again, as the next attempt."""
        ...

    def round(self, number: int) -> RoundView:
        """The latest attempt of a round."""
        ...
