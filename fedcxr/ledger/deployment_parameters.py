"""The parameters with which a federation's contract is deployed; none of them changes afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING, Any, Self

from fedcxr.ledger.bounds import UNBOUND, Bounds, configured_bounds
from fedcxr.ledger.recorded import Recorded

if TYPE_CHECKING:  # pydantic takes long, and a question to the ledger does not need it
    from fedcxr.config import Config

WEIGHTINGS = ("samples", "uniform")
"""Names of the contract's enum ``Weighting``, in its order; so the next two."""
ADMISSIONS = ("coordinator", "vote")
RECORDINGS = tuple(Recorded)


@dataclass(frozen=True)
class DeploymentParameters:
    """The contract's struct ``Founding``, with names for its enumerations; fields stand in its order.

    Attributes:
        federation, layout_digest, config_digest, genesis_digest: 32 bytes each.
        weighting: of :data:`WEIGHTINGS`; how weights follow from registered samples.
        admission: of :data:`ADMISSIONS`; who lets members in after the first round is opened.
        recording: of :data:`RECORDINGS`; each submission on the chain, or one Merkle root of all.
        open_updates: whether updates are plain vectors of the ring.
        committee_size: validators a round, 3f+1; 0 where every accepted update counts.
        min_updates: updates that a round needs.
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
        """The values as the ABI has them: enumerations are numbers."""
        values: list[object] = list(astuple(self))
        values[4:7] = (
            WEIGHTINGS.index(self.weighting),
            ADMISSIONS.index(self.admission),
            RECORDINGS.index(Recorded(self.recording)),
        )
        return tuple(values)

    @classmethod
    def from_tuple(cls, values: Sequence[Any]) -> Self:
        """Read :meth:`as_tuple` back.

        Raises:
            IndexError: a number of none of the enumerations' values.
        """
        names = (WEIGHTINGS[values[4]], ADMISSIONS[values[5]], RECORDINGS[values[6]])
        return cls(*(*values[:4], *names, *values[7:]))


def configured(config: Config, parameters: int) -> dict[str, Any]:
    """The fields of :class:`DeploymentParameters` that follow from the configuration, by name.

    Args:
        config: resolved; its digest is one of the fields.
        parameters: number of values in an update.
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
    deployed: DeploymentParameters, bounds: Bounds | None, config: Config, parameters: int | None = None
) -> dict[str, tuple[Any, Any]]:
    """The deployed fields and the bounds whose value is not the one that the configuration asks for.

    Args:
        deployed: with what the contract was deployed.
        bounds: of the contract; None for an earlier one, which binds nothing. What it does not bind is no
            difference, but for a share: when it was made, no configuration asked for one.
        config: whose digest the contract holds.
        parameters: number of values in an update; None where the layout is not at hand.

    Returns:
        Name to (expected, found).
    """
    expected = configured(config, deployed.update_size // 4 if parameters is None else parameters)
    wanted = asdict(configured_bounds(config))
    if bounds is None:
        wanted = {"largest_share": wanted["largest_share"]}
    found = {**asdict(deployed), **asdict(bounds or UNBOUND)}
    return {
        name: (value, found[name]) for name, value in {**expected, **wanted}.items() if found[name] != value
    }
