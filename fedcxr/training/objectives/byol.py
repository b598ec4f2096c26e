"""The regression loss of BYOL: predict what the momentum network makes of another view.

J.-B. Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020, https://arxiv.org/abs/2006.07733, equation 2.
There are no negatives; the predictor, and a target that moves slowly, keep the features from collapsing.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedcxr.training.objectives import self_supervised
from fedcxr.training.objectives.positives import mean_over_positives, positive_pairs
from fedcxr.training.objectives.term import TeacherNeed, Term, TermContext, TermInput
from fedcxr.training.state_tensors import StateTensors


def byol_regression(predictions: Tensor, targets: Tensor, positives: Tensor) -> Tensor:
    """2 − 2 cos(prediction, target), averaged over each row's positives, then over rows.

    Args:
        predictions: float, shape (N, D), of the student's predictor.
        targets: float, shape (N, D), of the momentum network; no gradient flows into them.
        positives: bool, shape (N, N): whose targets each row predicts, at least one a row.

    Returns:
        A scalar, float32, in [0, 4].
    """
    predictions = functional.normalize(predictions.float(), dim=1)
    targets = functional.normalize(targets.detach().float(), dim=1)
    return mean_over_positives(2.0 - 2.0 * predictions @ targets.T, positives).mean()


class BYOLRegression(Term):
    """BYOL's term: a predictor on the student, and the momentum network's projections as its targets."""

    def __init__(self, context: TermContext) -> None:
        predictor = make_predictor(
            context.config.model.projection_dim, self_supervised.heads_generator(context.config)
        )
        self_supervised.restore_heads(predictor, context.state)
        self._predictor = predictor.to(context.device)

    def __call__(self, seen: TermInput) -> Tensor:
        predictions = self._predictor(seen.student.projection)
        return byol_regression(predictions, seen.taught.projection, positive_pairs(seen.part.groups))

    def parameters(self) -> Iterable[nn.Parameter]:
        return self._predictor.parameters()

    def state(self) -> StateTensors:
        return self_supervised.heads_state(self._predictor)


def make_predictor(width: int, generator: torch.Generator) -> nn.Sequential:
    """Make the MLP that predicts projections of ``width`` values; narrower than the paper's.

    Its BatchNorm is what keeps small batches from collapsing.
    """
    hidden = 2 * width
    return nn.Sequential(
        self_supervised.linear(width, hidden, generator, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        self_supervised.linear(hidden, width, generator),
    )


BYOL = self_supervised.declare("byol", BYOLRegression, teacher=TeacherNeed.PROJECTIONS)
