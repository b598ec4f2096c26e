"""The federation against what it stands between: all images pooled, and each hospital by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fedcxr.baselines.rounds import POOLED, pool, train_rounds, weights_path
from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import DataError, NonFiniteError
from fedcxr.evaluation.comparison import Comparison, Contender, Kind, compare
from fedcxr.evaluation.validation_set import ValidationSet
from fedcxr.training.trainer import Step

logger = logging.getLogger(__name__)


def compare_with_baselines(
    federated: nn.Module,
    passes: int,
    shards: Mapping[str, Examples],
    valid: ValidationSet,
    config: Config,
    directory: Path,
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> Comparison:
    """Train the baselines, or finish what an interrupted call began, and score them beside the federation.

    One model is in memory at a time, beside the federated one. A hospital that cannot train alone is left
    out and named, as a federation would.

    Args:
        federated: the model that the last round released.
        passes: image passes that the federation spent, over all rounds and hospitals.
        shards: each hospital's training examples, all of one cache, in the order of the tables.
        valid: the common validation set.
        config: the run's, resolved.
        directory: ``RUN/baselines``; it gets the weights.
        progress: called with what is trained or scored, how much of it is done, and of how much.

    Raises:
        DataError, NonFiniteError: the pooled model cannot be trained, or the federated one gives no numbers.
        ModelError: weights cannot be written.
    """
    pooled = pool(shards)
    contenders = [
        Contender(
            Kind.FEDERATED,
            Kind.FEDERATED.value,
            len(pooled),
            passes,
            _predict(federated, "federated", valid, config, progress),
        ),
        _train(Kind.POOLED, POOLED, pooled, valid, config, directory, progress),
    ]
    failed: dict[str, str] = {}
    for name, examples in shards.items():
        try:
            contenders.append(_train(Kind.ALONE, name, examples, valid, config, directory, progress))
        except (DataError, NonFiniteError) as error:
            logger.warning("%s cannot be trained alone: %s", name, error)
            failed[name] = str(error)
    return compare(contenders, valid, config, failed=failed)


def _train(
    kind: Kind,
    name: str,
    examples: Examples,
    valid: ValidationSet,
    config: Config,
    directory: Path,
    progress: Callable[[str, int, int], None] | None,
) -> Contender:
    what = "pooled" if kind is Kind.POOLED else f"{name} alone"

    def on_step(round_index: int, step: Step) -> None:
        if progress is not None:
            total = step.of * config.federation.rounds
            progress(f"training {what}", (round_index - 1) * step.of + step.number, total)

    path = weights_path(directory, name, pooled=kind is Kind.POOLED)
    model, done = train_rounds(examples, config=config, name=name, path=path, on_step=on_step)
    logger.info("%s: %d image passes in %.1f s", what, done.passes, done.seconds)
    return Contender(kind, name, len(examples), done.passes, _predict(model, what, valid, config, progress))


def _predict(
    model: nn.Module,
    what: str,
    valid: ValidationSet,
    config: Config,
    progress: Callable[[str, int, int], None] | None,
) -> NDArray[np.float32]:
    if progress is None:
        return valid.predict(model, config)
    return valid.predict(model, config, progress=lambda done, total: progress(f"scoring {what}", done, total))
