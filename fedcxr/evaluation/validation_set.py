"""The images that a released model is scored on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.config import Config
from fedcxr.evaluation.inference import predict
from fedcxr.evaluation.metrics import evaluate
from fedcxr.evaluation.scores import Evaluation
from fedcxr.evaluation.studies import StudyScores, score_studies
from fedcxr.models.network import Network
from fedcxr.seeds import derive_seed


@dataclass(frozen=True, eq=False)
class ValidationSet:
    """A decoded validation set of n images.

    Attributes:
        images: uint8, shape (n, S, S), in the CSV's order; usually a memory map.
        labels: int8, shape (n, 14), raw codes.
        studies: int64, shape (n,): equal for the views of one study.
        patients: int64, shape (n,): equal for the images of one patient.
        hospitals: rows of each hospital's own validation patients.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int8]
    studies: NDArray[np.int64]
    patients: NDArray[np.int64]
    hospitals: Mapping[str, NDArray[np.int64]]

    def predict(
        self, model: Network, config: Config, *, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Probabilities for all n images, float32 (n, 14); raises as :func:`.inference.predict`."""
        rows = np.arange(len(self.images), dtype=np.int64)
        return predict(model, self.images, rows, config, progress=progress)

    def score(self, probabilities: NDArray[np.float32]) -> StudyScores:
        """Probabilities of all n images, float32 (n, 14), by study; raises as :func:`.score_studies`."""
        return score_studies(probabilities, self.labels, self.studies, self.patients)

    def evaluate(self, probabilities: NDArray[np.float32], config: Config) -> Evaluation:
        """Score probabilities of all n images; the same resamples for every model of a run."""
        return evaluate(
            probabilities,
            self.labels,
            self.studies,
            self.patients,
            hospitals=self.hospitals,
            bootstrap=config.evaluation.bootstrap,
            seed=bootstrap_seed(config),
        )


def bootstrap_seed(config: Config) -> int:
    """The seed of a run's resamples."""
    return derive_seed(config.seed, "bootstrap")
