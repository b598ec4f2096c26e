"""What a federation's contract is founded with; none of it changes afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from fedcxr.ledger.recorded import Recorded

if TYPE_CHECKING:  # pydantic takes long, and a question to the ledger does not need it
    from fedcxr.config import Config

WEIGHTINGS = ("samples", "uniform")
"""Names of the contract's enum ``Weighting``, in its order; so the next two."""
ADMISSIONS = ("coordinator", "vote")
RECORDINGS = tuple(Recorded)


@dataclass(frozen=True)
class Founding:
    """The contract's struct of this name, with names for its enumerations; fields stand in its order.

    Attributes:
        federation, layout_digest, config_digest, genesis_digest: 32 bytes each.
        weighting: of :data:`WEIGHTINGS`; how weights follow from registered samples.
        admission: of :data:`ADMISSIONS`; who lets members in after the first round is opened.
        recording: of :data:`RECORDINGS`; each submission on the chain, or one Merkle root of all.
        open_updates: updates are plain vectors of the ring.
        committee_size: validators a round, 3f+1; 0: an accepted update counts.
        min_updates: that a round needs.
        validation_window, dispute_window: seconds.
        update_size: bytes of a vector of the ring.
        reward_budget: credits a round.
        minimum_bond: wei.
        coordinator_key, auditor_key: HPKE public keys; the latter may be empty.
    """

    federation: bytes
    layout_digest: bytes
    config_digest: bytes
    genesis_digest: bytes
    weighting: str
    admission: str
    recording: str
    open_updates: bool
    committee_size: int
    min_updates: int
    validation_window: int
    dispute_window: int
    update_size: int
    reward_budget: int
    minimum_bond: int
    coordinator_key: bytes
    auditor_key: bytes

    def as_tuple(self) -> tuple[object, ...]:
        """The values as the ABI has them."""
        return astuple(
            replace(
                self,
                weighting=WEIGHTINGS.index(self.weighting),  # type: ignore[arg-type]
                admission=ADMISSIONS.index(self.admission),  # type: ignore[arg-type]
                recording=RECORDINGS.index(self.recording),  # type: ignore[arg-type]
            )
        )

    @classmethod
    def from_tuple(cls, values: Sequence[Any]) -> Self:
        """Read :meth:`as_tuple` back."""
        founding = cls(*values)
        return replace(
            founding,
            weighting=WEIGHTINGS[values[4]],
            admission=ADMISSIONS[values[5]],
            recording=RECORDINGS[values[6]],
        )


def rules(config: Config, parameters: int) -> dict[str, Any]:
    """The fields of a :class:`Founding` that follow from the configuration, whose digest is another of them.

    Args:
        config: resolved.
        parameters: values in an update.
    """
    judged = config.validation.policy == "committee"
    return {
        "config_digest": config.digest(),
        "weighting": config.federation.weighting,
        "admission": config.ledger.admission,
        "recording": config.ledger.recording,
        "open_updates": config.privacy.open_updates,
        "committee_size": config.validation.committee if judged else 0,
        "min_updates": config.federation.min_hospitals,
        "validation_window": config.validation.window,
        "dispute_window": config.ledger.dispute_window,
        "update_size": 4 * parameters,
        "reward_budget": config.ledger.rewards,
        "minimum_bond": config.ledger.bond,
    }


def differences(
    founding: Founding, config: Config, parameters: int | None = None
) -> dict[str, tuple[Any, Any]]:
    """Fields whose value is not the one that the configuration asks for: name → (expected, found).

    Args:
        founding: of the contract.
        config: whose digest the contract holds.
        parameters: values in an update; None where the layout is not at hand.
    """
    expected = rules(config, founding.update_size // 4 if parameters is None else parameters)
    return {
        name: (value, getattr(founding, name))
        for name, value in expected.items()
        if getattr(founding, name) != value
    }
