"""The coordinator's own evaluation of a released model, on the validation set of the CheXpert layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.config import Config
from fedcxr.data.labels import LABELS
from fedcxr.evaluation.inference import predict
from fedcxr.evaluation.scores import Evaluation
from fedcxr.evaluation.validation_set import ValidationSet
from fedcxr.models.network import Network
from fedcxr.models.registry import create_model
from fedcxr.store.hospital_state import HospitalState
from fedcxr.training.travelling import keep_own, take_own
from fedcxr.update.layout import Layout, Vector


@dataclass(frozen=True)
class Evaluator:
    """Scores a model that comes as a vector.

    Attributes:
        config: the run's.
        valid: the validation set.
        disks: of the simulated hospitals, by name.
    """

    config: Config
    valid: ValidationSet
    disks: Mapping[str, Path] = field(default_factory=dict)

    def __call__(self, vector: Vector, layout: Layout) -> Evaluation:
        model = create_model(self.config.model, seed=self.config.seed)
        layout.load(vector, model)
        return self.valid.evaluate(self.predict(model), self.config)

    def predict(self, model: Network) -> NDArray[np.float32]:
        """Probabilities for all n validation images, float32 (n, 14).

        Where each hospital has its own normalisation there is no one model: then a hospital's validation
        patients are seen with what it kept of its last round, as they would be at that hospital.
        """
        own = keep_own(model, self.config)
        if not own:
            return self.valid.predict(model, self.config)
        probabilities = np.empty((len(self.valid.images), len(LABELS)), np.float32)
        for name, rows in self.valid.hospitals.items():
            take_own(model, {**own, **HospitalState.of_disk(self.disks[name]).last()})
            probabilities[rows] = predict(model, self.valid.images, rows, self.config)
        return probabilities
