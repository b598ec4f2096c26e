"""NT-Xent, the contrastive loss of SimCLR, with one positive a row or several.

T. Chen, S. Kornblith, M. Norouzi, G. Hinton, "A Simple Framework for Contrastive Learning of Visual
Representations", ICML 2020, https://arxiv.org/abs/2002.05709, equation 1. With several positives a row, the
mean over them of the same term: equation 2 of P. Khosla et al., "Supervised Contrastive Learning", NeurIPS
2020, https://arxiv.org/abs/2004.11362, with the groups in the place of classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fedcxr.training.objectives import self_supervised
from fedcxr.training.objectives.positives import mean_over_positives, positive_pairs, self_excluded
from fedcxr.training.objectives.term import Term, TermContext, TermInput


def nt_xent(first: Tensor, second: Tensor, temperature: float, groups: Tensor | None = None) -> Tensor:
    """Normalised, temperature-scaled cross entropy between two views of B images, in nats.

    Row i of ``first`` and row i of ``second`` are views of one image. The rows of its group are its
    positives; every other row is in the denominator, the positives too, as in both papers.
    Computed in float32 whatever the inputs: exp(similarity / temperature) does not survive bfloat16.

    Args:
        first: float, shape (B, D), not normalised.
        second: the same shape.
        temperature: above 0; 0.1 to 0.5 in the paper.
        groups: int64, shape (B,): equal for images that are positives of each other; None: each stands alone.

    Returns:
        A scalar, float32; 0 for B = 1, which has no negatives.

    Raises:
        ValueError: the two differ in shape.
    """
    if first.shape != second.shape:
        raise ValueError(f"two views of one batch differ in shape: {first.shape} and {second.shape}")
    count = len(first)
    views = functional.normalize(torch.cat([first, second]).float(), dim=1)
    similarity = self_excluded(views @ views.T / temperature)
    if groups is None:
        partner = torch.arange(2 * count, device=views.device).roll(count)
        return functional.cross_entropy(similarity, partner)
    losses = -functional.log_softmax(similarity, dim=1)
    return mean_over_positives(losses, positive_pairs(groups)).mean()


class NTXent(Term):
    """SimCLR's term: the rest of the batch are an image's negatives; the hospital keeps nothing of it."""

    def __init__(self, context: TermContext) -> None:
        self._temperature = context.config.training.temperature

    def __call__(self, seen: TermInput) -> Tensor:
        first, second = seen.student.projection.chunk(2)
        return nt_xent(first, second, self._temperature, seen.part.groups)


NTXENT = self_supervised.declare("ntxent", NTXent)
