"""InfoNCE against a queue of keys, the loss of MoCo.

K. He, H. Fan, Y. Wu, S. Xie, R. Girshick, "Momentum Contrast for Unsupervised Visual Representation
Learning", CVPR 2020, https://arxiv.org/abs/1911.05722, equation 1; with a projection head, the
augmentation and the cosine schedule that the trainer has anyway it is MoCo v2 (X. Chen et al. 2020,
https://arxiv.org/abs/2003.04297).

Deviations: the head's hidden layer is twice as wide as its output, where v2's has 2,048 values; both views
are queries, each against the other's key; a patient's own keys in the queue are no negatives of it, which
matters in a shard that the queue holds several times over; the queue starts empty and not with random keys;
the momentum network uses running statistics (:mod:`fedcxr.training.teacher`), which does what shuffling
BatchNorm is for.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fedcxr.training.objectives import self_supervised
from fedcxr.training.objectives.positives import mean_over_positives, positive_pairs
from fedcxr.training.objectives.queue import Queue
from fedcxr.training.objectives.term import TeacherNeed, Term, TermContext, TermInput
from fedcxr.training.state_tensors import StateTensors


def info_nce(
    queries: Tensor,
    keys: Tensor,
    positives: Tensor,
    *,
    queue: Tensor,
    negatives: Tensor,
    temperature: float,
) -> Tensor:
    """Cross entropy of each query's positive keys, each alone against the queue; the mean, in nats.

    Args:
        queries: float, shape (N, D), not normalised.
        keys: float, shape (N, D), not normalised, of the momentum network; no gradient flows into them.
        positives: bool, shape (N, N): which keys belong to which query, at least one a row.
        queue: float32, shape (K, D), normalised keys of batches before; K may be 0.
        negatives: bool, shape (N, K): which of the queue each query is held against.
        temperature: above 0; 0.2 in MoCo v2.

    Returns:
        A scalar, float32; 0 while the queue is empty.
    """
    queries = functional.normalize(queries.float(), dim=1)
    keys = functional.normalize(keys.detach().float(), dim=1)
    alike = queries @ keys.T / temperature
    unlike = (queries @ queue.T / temperature).masked_fill(~negatives, float("-inf"))
    if unlike.shape[1] == 0:
        return 0.0 * alike.sum()
    # log(exp(s) + Σ exp(n)) - s, pair by pair, without leaving the logarithms
    others = torch.logsumexp(unlike, dim=1, keepdim=True)
    losses = functional.softplus(others - alike)
    return mean_over_positives(losses, positives).mean()


class MoCo(Term):
    """MoCo's term: the momentum network's keys of earlier batches are an image's negatives."""

    def __init__(self, context: TermContext) -> None:
        self._temperature = context.config.training.temperature
        self._queue = Queue(context)

    def __call__(self, seen: TermInput) -> Tensor:
        queue, owners, keys = self._queue, seen.part.owners, seen.taught.projection
        strangers = owners.repeat(2).unsqueeze(1) != queue.owners.unsqueeze(0)
        loss = info_nce(
            seen.student.projection,
            keys,
            positive_pairs(seen.part.groups),
            queue=queue.rows,
            negatives=strangers,
            temperature=self._temperature,
        )
        queue.add(keys[len(owners) :], owners)  # one view: the other would say the same
        return loss

    def state(self) -> StateTensors:
        return self._queue.state()


MOCO = self_supervised.declare("moco", MoCo, teacher=TeacherNeed.PROJECTIONS)
