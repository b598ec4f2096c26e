"""What a round of a federation is for: to learn from images alone, or from labels as well.

With ``federation.pretrain_rounds = k`` the first k rounds have no labels in their objective, as in
federated self-supervised pretraining; the rest are the joint or, with ``training.joint = false``, the
fine-tuning rounds. Each phase has a learning-rate schedule of its own. All of it follows from the
configuration and a round's number, so that a resumed run needs nothing else.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

from fedcxr.config import Config
from fedcxr.training.objectives import registry
from fedcxr.training.objectives.term import Needs, PhaseName, TermSpec


@dataclass(frozen=True)
class Phase:
    """One phase of a federation.

    Attributes:
        name: pretraining or training.
        start: rounds before it.
        rounds: in it.
        epochs: over a hospital's images in each of them.
        learning_rate: at the top of its schedule.
        terms: of the objective, each with its weight, above 0; in the order in which they are added.
    """

    name: PhaseName
    start: int
    rounds: int
    epochs: int
    learning_rate: float
    terms: Mapping[TermSpec, float]

    @classmethod
    def of(cls, config: Config, round_index: int) -> Phase:
        """The phase of a round, from 1."""
        training, first = config.training, config.federation.pretrain_rounds
        if config.federation.purpose(round_index) == "pretraining":
            terms = registry.weighted_terms(training, "pretraining")
            epochs, rate = training.pretrain_epochs or training.local_epochs, training.pretrain_learning_rate
            return cls("pretraining", 0, first, epochs, rate, terms)
        terms = registry.weighted_terms(training, "training")
        rounds = config.federation.rounds - first
        return cls("training", first, rounds, training.local_epochs, training.learning_rate, terms)

    @property
    def weights(self) -> dict[str, float]:
        """The terms' weights by name."""
        return {term.name: weight for term, weight in self.terms.items()}

    @property
    def needs(self) -> Needs:
        """What all terms of the phase together must be given."""
        return reduce(operator.or_, (term.needs for term in self.terms), Needs())
