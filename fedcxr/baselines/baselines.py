"""The comparison of the federated model with a pooled one, and with one of each hospital alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.baselines.training import POOLED, pool, train_rounds, weights_path
from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import DataError, NonFiniteError
from fedcxr.evaluation.comparison import Comparison, Contender, Kind, compare
from fedcxr.evaluation.validation_set import ValidationSet
from fedcxr.models.network import Network
from fedcxr.training.trainer import Step

logger = logging.getLogger(__name__)

Report = Callable[[str, int, int], None]  # what, done, total


@dataclass(frozen=True, eq=False)
class Baselines:
    """The baselines of one run; one model is in memory at a time, beside the federated one.

    Attributes:
        config: the run's, resolved.
        shards: each hospital's training examples, all of one cache.
        valid: the common validation set.
        directory: ``RUN/baselines``; it gets the weights, and an interrupted call continues from them.
        progress: called with what is trained or scored, how much of it is done, and of how much.
    """

    config: Config
    shards: Mapping[str, Examples]
    valid: ValidationSet
    directory: Path
    progress: Report | None = None

    def compare(self, federated: Network | NDArray[np.float32], *, passes: int) -> Comparison:
        """Train the baselines that are not trained yet, and score them beside the federated model.

        A hospital that cannot be trained alone is left out and named, as a federation would.

        Args:
            federated: the model that the last round released; or its probabilities, float32 (n, 14), where
                each hospital sees with a normalisation of its own.
            passes: image passes that the federation spent, over all rounds and hospitals.

        Raises:
            DataError, NonFiniteError: the pooled model cannot be trained, or the federated one gives no
                numbers.
            ModelError: weights cannot be written.
        """
        pooled = pool(self.shards)
        name = Kind.FEDERATED.value
        probabilities = self._predict(federated, name) if isinstance(federated, Network) else federated
        contenders = [
            Contender(Kind.FEDERATED, name, len(pooled), passes, probabilities),
            self._train(Kind.POOLED, POOLED, pooled),
        ]
        failed: dict[str, str] = {}
        for name, examples in self.shards.items():
            try:
                contenders.append(self._train(Kind.ALONE, name, examples))
            except (DataError, NonFiniteError) as error:
                logger.warning("%s cannot be trained alone: %s", name, error)
                failed[name] = str(error)
        return compare(contenders, self.valid, self.config, failed=failed)

    def _train(self, kind: Kind, name: str, examples: Examples) -> Contender:
        what = name if kind is Kind.POOLED else f"{name} alone"

        def on_step(round_number: int, step: Step) -> None:
            if self.progress is not None:
                done = (round_number - 1) * step.of + step.number
                self.progress(f"training {what}", done, step.of * self.config.federation.rounds)

        path = weights_path(self.directory, name, pooled=kind is Kind.POOLED)
        model, done = train_rounds(examples, config=self.config, name=name, path=path, on_step=on_step)
        logger.info("%s: %d image passes in %.1f s", what, done.passes, done.seconds)
        return Contender(kind, name, len(examples), done.passes, self._predict(model, what))

    def _predict(self, model: Network, what: str) -> NDArray[np.float32]:
        report = self.progress
        if report is None:
            return self.valid.predict(model, self.config)
        return self.valid.predict(
            model, self.config, progress=lambda done, total: report(f"scoring {what}", done, total)
        )
