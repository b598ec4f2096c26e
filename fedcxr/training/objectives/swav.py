"""The swapped prediction of SwAV: tell from one view which prototype another view was assigned to.

M. Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS 2020,
https://arxiv.org/abs/2006.09882, equations 2 to 5, with two views and without multi-crop.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedcxr.training.objectives import self_supervised
from fedcxr.training.objectives.positives import positive_pairs
from fedcxr.training.objectives.queue import Queue
from fedcxr.training.objectives.term import Term, TermContext, TermInput
from fedcxr.training.state_tensors import StateTensors

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


class SwAV(Term):
    """SwAV's term: batches are assigned evenly to prototypes, of which each view predicts the other's.

    A queue makes small batches long enough for even assignments. It helps once it is full, as in the paper's
    code: until then the features in it are those of the first steps, which say little, and assigning evenly
    over them collapses the rest.
    """

    def __init__(self, context: TermContext) -> None:
        training, width = context.config.training, context.config.model.projection_dim
        prototypes = self_supervised.linear(
            width, training.prototypes, self_supervised.heads_generator(context.config), bias=False
        )
        self_supervised.restore_heads(prototypes, context.state)
        self._prototypes = prototypes.to(context.device)
        self._temperature = training.temperature
        self._queue = Queue(context)

    def __call__(self, seen: TermInput) -> Tensor:
        queue, owners = self._queue, seen.part.owners
        rows = functional.normalize(seen.student.projection.float(), dim=1)
        prototypes = functional.normalize(self._prototypes.weight.float(), dim=1)
        scores = rows @ prototypes.T
        count = len(owners)
        with torch.no_grad():
            before = queue.rows[: queue.size if queue.full else 0] @ prototypes.T
            codes = [sinkhorn(torch.cat([view, before]))[:count] for view in scores.chunk(2)]
        positives = positive_pairs(seen.part.groups)
        loss = swapped_prediction(scores, torch.cat(codes), positives, self._temperature)
        queue.add(rows[count:], owners)
        return loss

    def parameters(self) -> Iterable[nn.Parameter]:
        return self._prototypes.parameters()

    def state(self) -> StateTensors:
        return {**self_supervised.heads_state(self._prototypes), **self._queue.state()}


SWAV = self_supervised.declare("swav", SwAV)
