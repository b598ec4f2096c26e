"""The coordinator's own evaluation of a released model, on the validation set of the CheXpert layout."""

from __future__ import annotations

from dataclasses import dataclass

from fedcxr.config import Config
from fedcxr.evaluation.scores import Evaluation
from fedcxr.evaluation.validation_set import ValidationSet
from fedcxr.models.registry import create_model
from fedcxr.update.layout import Layout, Vector


@dataclass(frozen=True)
class Evaluator:
    """Scores a model that comes as a vector."""

    config: Config
    valid: ValidationSet

    def __call__(self, vector: Vector, layout: Layout) -> Evaluation:
        model = create_model(self.config.model, seed=self.config.seed)
        layout.load(vector, model)
        return self.valid.evaluate(self.valid.predict(model, self.config), self.config)
