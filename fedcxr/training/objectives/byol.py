"""The regression loss of BYOL: predict what the momentum network makes of another view.

J.-B. Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020, https://arxiv.org/abs/2006.07733, equation 2.
There are no negatives; the predictor, and a target that moves slowly, keep the features from collapsing.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from fedcxr.training.objectives.positives import mean_over_positives


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
