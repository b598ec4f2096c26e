"""The cross-entropy term: of the logits, or of the probabilities that conditional logits give."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from fedcxr.config import Training
from fedcxr.training.objectives.bce import masked_bce
from fedcxr.training.objectives.hierarchy import conditional_bce, whole_bce
from fedcxr.training.objectives.term import PhaseName, Term, TermContext, TermInput, TermSpec


class CrossEntropy(Term):
    """The cross-entropy that ``model.labels`` and ``training.hierarchy`` ask for; it has no state."""

    def __init__(self, context: TermContext) -> None:
        self._loss: Callable[[Tensor, Tensor, Tensor], Tensor] = masked_bce
        if context.config.model.labels == "conditional":
            whole = context.config.training.hierarchy == "whole"
            self._loss = whole_bce if whole else conditional_bce

    def __call__(self, seen: TermInput) -> Tensor:
        return self._loss(seen.student.logits, seen.targets, seen.counted)


def _weight(training: Training, phase: PhaseName) -> float:
    return 1.0 if phase == "training" and training.label_loss == "bce" else 0.0


CROSS_ENTROPY = TermSpec(name="bce", weight=_weight, make=CrossEntropy, share="counted", by_image=True)
