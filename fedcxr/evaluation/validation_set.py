"""The validation set: the images that a released model is scored on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fedcxr.config import Config
from fedcxr.data.labels import LABELS
from fedcxr.evaluation.inference import embed, predict
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
        normalise_as: gives a model a hospital's own normalisation, by its name, where each has one (FedBN);
            None where one model serves all.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int8]
    studies: NDArray[np.int64]
    patients: NDArray[np.int64]
    hospitals: Mapping[str, NDArray[np.int64]]
    normalise_as: Callable[[Network, str], None] | None = None

    def seen_by(self, model: Network, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """The positions in ``rows`` of images that ``model`` is ready for: all at once, or by hospital.

        A patient's image is seen with the normalisation of its hospital, as it would be there.
        """
        if self.normalise_as is None:
            yield np.arange(len(rows))
            return
        for name, own in self.hospitals.items():
            if len(positions := np.flatnonzero(np.isin(rows, own))):
                self.normalise_as(model, name)
                yield positions

    def predict(
        self, model: Network, config: Config, *, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Predict all n images, float32 (n, 14); raises as :func:`.inference.predict`."""
        rows = np.arange(len(self.images), dtype=np.int64)
        probabilities, done = np.empty((len(rows), len(LABELS)), np.float32), 0
        for own in self.seen_by(model, rows):
            shown = None if progress is None else partial(_further, progress, done, len(rows))
            probabilities[own] = predict(model, self.images, own, config, progress=shown)
            done += len(own)
        return probabilities

    def embed(self, model: Network, rows: NDArray[np.int64], config: Config) -> NDArray[np.float32]:
        """Compute these images' features, float32 (len(rows), F); raises as :func:`.inference.embed`."""
        parts = [(own, embed(model, self.images, rows[own], config)) for own in self.seen_by(model, rows)]
        order = np.argsort(np.concatenate([own for own, _ in parts]))
        features: NDArray[np.float32] = np.concatenate([found for _, found in parts])[order]
        return features

    def score(self, probabilities: NDArray[np.float32]) -> StudyScores:
        """Reduce all n images' probabilities, (n, 14), to studies; raises as :func:`.score_studies`."""
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


def _further(progress: Callable[[int, int], None], before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)


def bootstrap_seed(config: Config) -> int:
    """The seed of a run's resamples."""
    return derive_seed(config.seed, "bootstrap")
