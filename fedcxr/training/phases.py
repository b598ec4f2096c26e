"""What a round of a federation is for: to learn from images alone, or from labels as well.

With ``federation.pretrain_rounds = k`` the first k rounds have no labels in their objective, as in
federated self-supervised pretraining; the rest are the joint or, with ``training.joint = false``, the
fine-tuning rounds. Each phase has a learning-rate schedule of its own. All of it follows from the
configuration and a round's number, so that a resumed run needs nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedcxr.config import Config

LABEL_LOSSES = frozenset(("bce", "auc_margin"))


@dataclass(frozen=True)
class Phase:
    """One phase of a federation.

    Attributes:
        name: pretraining or training.
        start: rounds before it.
        rounds: in it.
        epochs: over a hospital's images in each of them.
        learning_rate: at the top of its schedule.
        weights: of the objective's terms, those above 0, by name.
    """

    name: Literal["pretraining", "training"]
    start: int
    rounds: int
    epochs: int
    learning_rate: float
    weights: dict[str, float]

    @classmethod
    def of(cls, config: Config, round_index: int) -> Phase:
        """The phase of a round, from 1."""
        training, first = config.training, config.federation.pretrain_rounds
        contrast: dict[str, float] = {}
        if training.contrast:
            contrast[training.self_supervised] = training.contrastive_weight
        always = {"reconstruction": training.reconstruction_weight}
        if round_index <= first:
            epochs, rate = training.pretrain_epochs or training.local_epochs, training.pretrain_learning_rate
            return cls("pretraining", 0, first, epochs, rate, _positive({**contrast, **always}))
        weights = {
            training.label_loss: 1.0,
            **(contrast if training.joint else {}),
            "supervised": training.supervised_weight,
            "consistency": training.consistency_weight,
            **always,
        }
        rounds = config.federation.rounds - first
        weights = _positive(weights)
        return cls("training", first, rounds, training.local_epochs, training.learning_rate, weights)

    @property
    def views(self) -> int:
        """Augmented views of an image in one epoch: two where views are compared."""
        return 2 if self.projects else 1

    @property
    def projects(self) -> bool:
        """Whether a term compares projections."""
        return bool(self.weights.keys() - {*LABEL_LOSSES, "consistency", "reconstruction"})

    @property
    def labels(self) -> bool:
        """Whether a term is of the known labels."""
        return not LABEL_LOSSES.isdisjoint(self.weights)

    @property
    def only_labels(self) -> bool:
        """Whether an image without a known label has nothing to teach."""
        return self.weights.keys() <= {*LABEL_LOSSES, "supervised"}


def _positive(weights: dict[str, float]) -> dict[str, float]:
    return {name: weight for name, weight in weights.items() if weight > 0}
