"""The coordinator's own evaluation of a released model, on the validation set of the CheXpert layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from fedcxr.evaluation.inference import predict
from fedcxr.evaluation.metrics import Evaluation, evaluate
from fedcxr.models.registry import create_model
from numpy.typing import NDArray

from fedcxr.config import Config
from fedcxr.seeds import derive_seed
from fedcxr.update.layout import Layout, Vector


@dataclass(frozen=True)
class Evaluator:
    """A validation set, decoded.

    Attributes:
        images: uint8, (N, S, S), in the CSV's order.
        labels: int8, (N, 14), raw codes.
        studies: int64, (N,).
        hospitals: rows of each hospital's own validation patients.
    """

    config: Config
    images: NDArray[np.uint8]
    labels: NDArray[np.int8]
    studies: NDArray[np.int64]
    hospitals: Mapping[str, NDArray[np.int64]]

    def __call__(self, vector: Vector, layout: Layout) -> Evaluation:
        """Evaluate a model given as a vector."""
        model = create_model(self.config.model, seed=self.config.seed)
        layout.load(vector, model)
        rows = np.arange(len(self.images), dtype=np.int64)
        probabilities = predict(model, self.images, rows, self.config)
        return evaluate(
            probabilities,
            self.labels,
            self.studies,
            hospitals=self.hospitals,
            bootstrap=self.config.evaluation.bootstrap,
            seed=derive_seed(self.config.seed, "bootstrap"),
        )
