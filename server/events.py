"""What the engine tells whoever watches: typed, in order, from one thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fedcxr.evaluation.scores import Evaluation
from fedcxr.update.metrics import HospitalMetrics


@dataclass(frozen=True)
class NotRegistered:
    """A node came, and its hospital is not in the federation; it may be asked again at the next start."""

    node: int
    reason: str


@dataclass(frozen=True)
class FederationStarted:
    """The hospitals by name, in the order of their addresses; ``first_round`` is above 1 after a resume."""

    hospitals: Mapping[str, str]  # address -> name
    samples: Mapping[str, int]  # address -> registered samples
    first_round: int
    rounds: int


@dataclass(frozen=True)
class RoundOpened:
    round: int
    base: bytes
    weights: Mapping[str, int]


@dataclass(frozen=True)
class HospitalAnswered:
    """One hospital's outcome in a round; ``reason`` is empty when its update was accepted.

    ``waited`` is for how many seconds of its training the network stood still for the loader; None where the
    update came before a restart, or not from the node that was asked.
    """

    round: int
    hospital: str
    reason: str
    metrics: HospitalMetrics | None
    waited: float | None


@dataclass(frozen=True)
class RoundFinalized:
    """A round is finalized; ``shares`` has what part of its time went where, as its line has it."""

    round: int
    model_digest: bytes
    included: tuple[str, ...]
    seconds: float
    evaluation: Evaluation | None
    shares: Mapping[str, float]


@dataclass(frozen=True)
class UnmaskingWaits:
    """The sum of a masked round waits for what hospitals release.

    Attributes:
        round: which.
        hospitals: whose answers have not come, by the accounts that they had at the opening.
        lacking: what lacks, in words.
    """

    round: int
    hospitals: tuple[str, ...]
    lacking: str


Event = NotRegistered | FederationStarted | RoundOpened | HospitalAnswered | UnmaskingWaits | RoundFinalized


class Observer(Protocol):
    """Receives each event; must not raise."""

    def __call__(self, event: Event, /) -> None: ...
