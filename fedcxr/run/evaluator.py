"""The coordinator's own evaluation of a released model, on the validation set of the CheXpert layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from fedcxr.config import Config
from fedcxr.data.chexpert import ChexpertTable
from fedcxr.evaluation.scores import Evaluation
from fedcxr.evaluation.validation_set import ValidationSet
from fedcxr.models.network import Network
from fedcxr.models.registry import create_model
from fedcxr.store.hospital_state import HospitalState
from fedcxr.training.shared_tensors import load_local, local_state
from fedcxr.update.layout import Layout, Vector


@dataclass(frozen=True)
class Evaluator:
    """Scores a released model, which comes as a vector of weights, on the validation set.

    Attributes:
        config: the run's.
        table: the validation set's rows.
        valid: the same, decoded.
        disks: of the simulated hospitals, by name.
    """

    config: Config
    table: ChexpertTable
    valid: ValidationSet
    disks: Mapping[str, Path] = field(default_factory=dict)

    def __call__(self, vector: Vector, layout: Layout) -> Evaluation:
        model = create_model(self.config.model, seed=self.config.seed)
        layout.load(vector, model)
        return self.valid.evaluate(self.released.predict(model, self.config), self.config)

    @cached_property
    def released(self) -> ValidationSet:
        """The validation set on which released models are scored.

        Where each hospital has its own normalisation there is no one model: then a hospital's validation
        patients are seen with what it kept of its last round, as they would be at that hospital.
        """
        if self.config.model.normalisation.one_model:
            return self.valid
        first = local_state(create_model(self.config.model, seed=self.config.seed), self.config)

        def normalise_as(model: Network, hospital: str) -> None:
            load_local(model, {**first, **HospitalState.of_disk(self.disks[hospital]).last()})

        return replace(self.valid, normalise_as=normalise_as)
