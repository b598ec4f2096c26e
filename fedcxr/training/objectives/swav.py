"""The swapped prediction of SwAV: tell from one view which prototype another view was assigned to.

M. Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS 2020,
https://arxiv.org/abs/2006.09882, equations 2 to 5, with two views and without multi-crop.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 0.05  # the paper's: higher is softer, and too high collapses to even assignments
ITERATIONS = 3  # the paper's


@torch.no_grad()
def sinkhorn(scores: Tensor, *, epsilon: float = EPSILON, iterations: int = ITERATIONS) -> Tensor:
    """Assignments of N rows to K prototypes that use all prototypes alike (Cuturi 2013).

    In logarithms: exp(1 / 0.05) times a row's sum is beyond what half precision holds.

    Args:
        scores: float, shape (N, K): similarities, in [−1, 1].
        epsilon: of the entropy.
        iterations: of scaling columns, then rows.

    Returns:
        float32, shape (N, K); rows sum to 1, columns to about N / K.
    """
    logs = scores.float() / epsilon
    for _ in range(iterations):
        logs = logs - torch.logsumexp(logs, dim=0, keepdim=True)
        logs = logs - torch.logsumexp(logs, dim=1, keepdim=True)
    return logs.exp()


def swapped_prediction(scores: Tensor, codes: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """Cross entropy of each row's prediction with the codes of its positives; the mean, in nats.

    Args:
        scores: float, shape (N, K): similarities to the prototypes.
        codes: float, shape (N, K), of :func:`sinkhorn`.
        positives: bool, shape (N, N): whose codes each row predicts, at least one a row.
        temperature: above 0; 0.1 in the paper.

    Returns:
        A scalar, float32.
    """
    weights = positives.float()
    wanted = weights @ codes / weights.sum(1, keepdim=True)
    return -(wanted * functional.log_softmax(scores.float() / temperature, dim=1)).sum(1).mean()
