"""The supervised contrastive term for many labels: rows are drawn together as far as their labels agree.

The loss is that of P. Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020,
https://arxiv.org/abs/2004.11362 (L_out, equation 2). Two images with several labels each are seldom wholly
alike or unlike, so a pair counts with the Jaccard similarity of its label sets, as in N. Lin et al., "An
Effective Deployment of Contrastive Learning in Multi-label Text Classification", Findings of ACL 2023,
https://arxiv.org/abs/2212.00552. New here: soft labels, through min and max (Ruzicka's form of the same
index), and masked ones, which are no evidence: a pair is compared on the labels that both know.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fedcxr.config import Training
from fedcxr.training.objectives.positives import self_excluded
from fedcxr.training.objectives.term import Needs, PhaseName, Term, TermContext, TermInput, TermSpec


def label_similarity(targets: Tensor, mask: Tensor) -> Tensor:
    """Jaccard similarity of each pair's labels, over the labels that both of the pair know.

    Two images without a single finding in common, or without any at all, have similarity 0: that nothing is
    known to be there is no likeness. (CheXpert's "No Finding" is a label, and makes healthy chests alike.)

    Args:
        targets: float, shape (N, L), in [0, 1]; may be NaN where ``mask`` is False.
        mask: bool, shape (N, L).

    Returns:
        float32, shape (N, N), in [0, 1], symmetric.
    """
    values = targets.float().masked_fill(~mask, 0.0)
    known = mask.unsqueeze(0) & mask.unsqueeze(1)
    one, other = values.unsqueeze(0), values.unsqueeze(1)
    shared = torch.minimum(one, other).sum(-1)  # a masked label is 0 on one side, and adds nothing
    either = torch.maximum(one, other).masked_fill(~known, 0.0).sum(-1)
    return shared / either.clamp(min=torch.finfo(torch.float32).tiny)


def supervised_contrastive(projections: Tensor, targets: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """The weighted mean over each row's pairs of their cross entropy, then the mean over rows, in nats.

    Rows that are like no other are left out of the mean over anchors; they stay in the others' denominators.

    Args:
        projections: float, shape (N, D), not normalised: all views of a batch.
        targets: float, shape (N, L): each row's labels, repeated over views.
        mask: bool, shape (N, L): False where a label says nothing.
        temperature: above 0.

    Returns:
        A scalar, float32; 0, with gradient 0, when no two rows are alike.
    """
    views = functional.normalize(projections.float(), dim=1)
    losses = -functional.log_softmax(self_excluded(views @ views.T / temperature), dim=1)
    weights = label_similarity(targets, mask).fill_diagonal_(0.0)
    losses = losses.masked_fill(weights == 0, 0.0)  # the diagonal's infinity, times 0, would be NaN
    total = weights.sum(1)
    anchors = total > 0
    each = (weights * losses).sum(1) / total.clamp(min=torch.finfo(torch.float32).tiny)
    return each.masked_fill(~anchors, 0.0).sum() / anchors.sum().clamp(min=1)


class SupervisedContrast(Term):
    """The supervised contrastive term; the hospital keeps nothing of it."""

    def __init__(self, context: TermContext) -> None:
        self._temperature = context.config.training.temperature

    def __call__(self, seen: TermInput) -> Tensor:
        return supervised_contrastive(seen.student.projection, seen.targets, seen.mask, self._temperature)


def _weight(training: Training, phase: PhaseName) -> float:
    return training.supervised_weight if phase == "training" else 0.0


SUPERVISED = TermSpec(
    name="supervised", weight=_weight, make=SupervisedContrast, needs=Needs(views=2, projection=True)
)
