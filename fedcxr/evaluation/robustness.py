"""The robustness of a model: AUROC on corrupted images by kind and severity, and its drop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from fedcxr.config import Config
from fedcxr.data.labels import LABELS
from fedcxr.evaluation.bootstrap import Resampled, areas
from fedcxr.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from fedcxr.evaluation.inference import predict
from fedcxr.evaluation.metrics import ALL, COMPETITION
from fedcxr.evaluation.scores import Estimate
from fedcxr.evaluation.validation_set import ValidationSet, bootstrap_seed
from fedcxr.models.network import Network


@dataclass(frozen=True)
class Corrupted:
    """The scores under one corruption at one severity.

    Attributes:
        corruption, severity: which.
        mean_auroc: over all defined labels.
        competition: over the defined competition tasks.
        drop: clean minus corrupted, of ``mean_auroc``, paired.
    """

    corruption: str
    severity: int
    mean_auroc: Estimate
    competition: Estimate
    drop: Estimate


@dataclass(frozen=True)
class Robustness:
    """The scores of one model on one test set, clean and corrupted.

    Attributes:
        images, studies: of the set.
        bootstrap: resamples of patients.
        clean, clean_competition: as the two means of :class:`Corrupted`.
        rows: corruption by corruption, severity rising.
        mean_drop: over all rows.
    """

    images: int
    studies: int
    bootstrap: int
    clean: Estimate
    clean_competition: Estimate
    rows: tuple[Corrupted, ...]
    mean_drop: Estimate

    def to_json(self) -> str:
        """JSON, indented; what is undefined is null."""
        return TypeAdapter(Robustness).dump_json(self, indent=1).decode()


def measure_robustness(
    model: Network,
    valid: ValidationSet,
    config: Config,
    *,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    severities: Sequence[int] = SEVERITIES,
    progress: Callable[[int, int], None] | None = None,
) -> Robustness:
    """Score a model on its test set and on every corruption of it.

    Images are corrupted a batch at a time; the resamples are the same for all, so that drops are paired.

    Raises:
        DataError: an unknown corruption or severity.
        ConfigError, NonFiniteError: as :func:`.inference.predict`.
    """
    resamples, seed = config.evaluation.bootstrap, bootstrap_seed(config)

    def measured(probabilities: NDArray[np.float32]) -> Resampled:
        return areas(valid.score(probabilities), resamples, seed)

    cases = [(kind, severity) for kind in corruptions for severity in severities]
    clean = measured(valid.predict(model, config))
    rows, drops = [], []
    for done, (kind, severity) in enumerate(cases, start=1):
        found = measured(_predict(model, valid, config, kind, severity))
        drops.append(clean - found)
        rows.append(
            Corrupted(
                kind, severity, found.estimate(ALL), found.estimate(COMPETITION), drops[-1].estimate(ALL)
            )
        )
        if progress is not None:
            progress(done, len(cases))
    return Robustness(
        images=len(valid.images),
        studies=len(np.unique(valid.studies)),
        bootstrap=resamples,
        clean=clean.estimate(ALL),
        clean_competition=clean.estimate(COMPETITION),
        rows=tuple(rows),
        mean_drop=Resampled.mean(drops, [1.0] * len(drops)).estimate(ALL) if drops else Estimate(),
    )


def _predict(
    model: Network, valid: ValidationSet, config: Config, kind: str, severity: int
) -> NDArray[np.float32]:
    """Predict all images under one corruption, holding no more than a few batches at once."""
    step = 8 * config.evaluation.batch_size
    parts = []
    for start in range(0, len(valid.images), step):
        numbers = np.arange(start, min(start + step, len(valid.images)))
        worse = corrupt(valid.images[numbers], kind, severity, numbers=numbers, seed=config.seed)
        found = np.empty((len(numbers), len(LABELS)), np.float32)
        for own in valid.seen_by(model, numbers):
            found[own] = predict(model, worse, own, config)
        parts.append(found)
    return np.concatenate(parts)
