"""The paired comparison of the federated model with the pooled one and with each hospital's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from fedcxr.config import Config
from fedcxr.errors import DataError
from fedcxr.evaluation.bootstrap import Resampled, areas
from fedcxr.evaluation.metrics import ALL, COMPETITION, make_evaluation
from fedcxr.evaluation.scores import Estimate, Evaluation, explain
from fedcxr.evaluation.validation_set import ValidationSet, bootstrap_seed


class Kind(StrEnum):
    """How a model, or a mean over models, was trained."""

    FEDERATED = "federated"
    POOLED = "pooled"
    ALONE = "alone"
    ALONE_BY_IMAGES = "alone, mean by images"
    ALONE_UNIFORM = "alone, plain mean"


@dataclass(frozen=True, eq=False)
class Contender:
    """A trained model's probabilities on the validation set, and what its training took.

    Attributes:
        kind: federated, pooled or alone.
        name: the hospital's, for a model trained alone; else the kind.
        images: it was trained on.
        passes: images put through the network in its training: images × epochs × views × rounds.
        probabilities: float32, shape (n, 14), on the validation set.
    """

    kind: Kind
    name: str
    images: int
    passes: int
    probabilities: NDArray[np.float32]


@dataclass(frozen=True)
class ComparisonRow:
    """The scores of one contender, or of the mean of the hospitals' own models.

    Attributes:
        kind, name, images, passes: as of :class:`Contender`; summed for a mean.
        evaluation: whole and by hospital; a mean has no hospitals.
        macro_gain: mean AUROC over all defined labels minus the federated model's, paired.
        competition_gain: the same over the five competition tasks.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: Kind
    name: str
    images: int
    passes: int
    evaluation: Evaluation
    macro_gain: Estimate
    competition_gain: Estimate


@dataclass(frozen=True)
class Comparison:
    """The scores of the federated, the pooled and the hospitals' own models, trained under one budget.

    Attributes:
        rounds, local_epochs: the budget; every model saw each of its images this often, twice each with two
            contrastive views. ``passes`` of a row says what that came to.
        rows: federated, pooled, each hospital alone, and the two means over the latter.
        failed: hospitals that could not be trained alone, and why.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    rounds: int
    local_epochs: int
    rows: tuple[ComparisonRow, ...]
    failed: Mapping[str, str] = field(default_factory=dict)

    def of_kind(self, kind: Kind) -> tuple[ComparisonRow, ...]:
        """The rows of one kind, in order."""
        return tuple(row for row in self.rows if row.kind is kind)

    def to_json(self) -> str:
        """JSON, indented; what is undefined is null."""
        return _ADAPTER.dump_json(self, indent=1).decode()

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        """Read :meth:`to_json` back.

        Raises:
            DataError: it is no comparison; names the field.
        """
        try:
            return _ADAPTER.validate_json(text)
        except ValidationError as error:
            raise DataError(f"not a comparison: {explain(error)}") from None


def compare(
    contenders: Sequence[Contender],
    valid: ValidationSet,
    config: Config,
    *,
    failed: Mapping[str, str] | None = None,
) -> Comparison:
    """Score contenders on one validation set, the first of them federated.

    Raises:
        DataError: the first is not federated, or probabilities do not fit the validation set.
        NonFiniteError: a probability is NaN or infinite.
    """
    if not contenders or contenders[0].kind is not Kind.FEDERATED:
        raise DataError("a comparison begins with the federated model.")
    resamples, seed = config.evaluation.bootstrap, bootstrap_seed(config)
    scored = [valid.score(c.probabilities) for c in contenders]
    measured = [areas(studies, resamples, seed) for studies in scored]
    rows = [
        _row(contender, valid.evaluate(contender.probabilities, config), own, measured[0])
        for contender, own in zip(contenders, measured, strict=True)
    ]
    alone = [(c, own) for c, own in zip(contenders, measured, strict=True) if c.kind is Kind.ALONE]
    if alone:
        for kind in (Kind.ALONE_BY_IMAGES, Kind.ALONE_UNIFORM):
            weights = [c.images if kind is Kind.ALONE_BY_IMAGES else 1 for c, _ in alone]
            mean = Resampled.mean([own for _, own in alone], weights)
            contender = Contender(
                kind=kind,
                name=kind.value,
                images=sum(c.images for c, _ in alone),
                passes=sum(c.passes for c, _ in alone),
                probabilities=np.empty((0, len(ALL)), dtype=np.float32),
            )
            rows.append(_row(contender, make_evaluation(scored[0], mean, {}), mean, measured[0]))
    return Comparison(
        rounds=config.federation.rounds,
        local_epochs=config.training.local_epochs,
        rows=tuple(rows),
        failed=dict(failed or {}),
    )


def _row(contender: Contender, evaluation: Evaluation, own: Resampled, federated: Resampled) -> ComparisonRow:
    gain = own - federated
    return ComparisonRow(
        kind=contender.kind,
        name=contender.name,
        images=contender.images,
        passes=contender.passes,
        evaluation=evaluation,
        macro_gain=gain.estimate(ALL),
        competition_gain=gain.estimate(COMPETITION),
    )


_ADAPTER = TypeAdapter(Comparison)
