"""The AUC margin loss: each positive is to stand above each negative by a margin, without forming the pairs.

Z. Yuan, Y. Yan, M. Sonka, T. Yang, "Large-scale Robust Deep AUC Maximization: A New Surrogate Loss and
Empirical Studies on Medical Image Classification", ICCV 2021, https://arxiv.org/abs/2012.03173, equation 7.
For scores h the mean of (m − h⁺ + h⁻)² over pairs falls apart into the variance of each class and the squared
distance of their means from the margin; the loss has the last part only while the means are closer than m.

Deviations: the paper trains the class means a and b and the multiplier α by gradient descent and ascent. For
a given network all three have closed forms, and the gradient of the inner problem at its solution is the
gradient with them held; so a and b are running means here, and nothing is tuned for them. Soft targets count
for both classes in part, masked ones for none.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fedcxr.config import Training
from fedcxr.training.objectives.term import PhaseName, Term, TermContext, TermInput, TermSpec
from fedcxr.training.state_tensors import StateTensors

MARGIN = 1.0  # the paper's, for scores in [0, 1]
WINDOW = 1024.0  # images over which the running means forget: some twenty of a finding that 2 % have


def class_shares(targets: Tensor, mask: Tensor) -> Tensor:
    """Return which share of a shard is positive, and which negative, for each label.

    Args:
        targets: float, shape (n, L), in [0, 1]; read only where ``mask`` is true.
        mask: bool, shape (n, L).

    Returns:
        float32, shape (2, L): positive, then negative; what is masked is in neither.
    """
    return torch.stack([part.mean(0) for part in _parts(targets, mask)])


class ClassMeans:
    """Running means of a network's scores, of each label's positives and of its negatives.

    Attributes:
        sums: float32, shape (2, L): of scores, positive then negative, forgetting over :data:`WINDOW` images.
        counts: float32, the same shape: of images.
    """

    def __init__(self, sums: Tensor, counts: Tensor) -> None:
        self.sums, self.counts = sums, counts

    @classmethod
    def unknowing(cls, labels: int, device: torch.device) -> ClassMeans:
        """Start from one image of each class with score ½, which a batch outweighs."""
        counts = torch.ones(2, labels, device=device)
        return cls(0.5 * counts, counts)

    @property
    def values(self) -> Tensor:
        """The means: float32, shape (2, L), in [0, 1]; positives, then negatives."""
        return self.sums / self.counts

    @torch.no_grad()
    def add(self, scores: Tensor, targets: Tensor, mask: Tensor) -> None:
        """Add N images to the means: scores and targets float, mask bool, each (N, L).

        What was seen last is remembered with the weight of one image at least, however long ago it was.
        """
        forget = self.counts.reciprocal().clamp(min=math.exp(-len(scores) / WINDOW))
        parts = torch.stack(_parts(targets, mask))
        self.sums = forget * self.sums + (parts * scores.float()).sum(1)
        self.counts = forget * self.counts + parts.sum(1)


def auc_margin(scores: Tensor, targets: Tensor, mask: Tensor, *, shares: Tensor, means: Tensor) -> Tensor:
    """The loss of a batch, the mean over the labels of which the shard has both classes.

    A label weighs by how many pairs it has, p(1 − p), and by how often it is known; a batch without one of
    the classes moves the other alone. Where ``means`` are the batch's own, the value is that weight times the
    mean over pairs of (m − h⁺ + h⁻)², for classes closer than the margin.

    Args:
        scores: float, shape (N, L), in [0, 1].
        targets: float, shape (N, L), in [0, 1]; read only where ``mask`` is true.
        mask: bool, shape (N, L).
        shares: float32, shape (2, L), of :func:`class_shares`: of the whole shard, not of the batch.
        means: float32, shape (2, L): mean scores of positives and of negatives, held in the gradient.

    Returns:
        A scalar, float32; 0, with gradient 0, where no label has both classes.
    """
    scores, means = scores.float(), means.detach()
    known = shares.sum(0).clamp(min=torch.finfo(torch.float32).tiny)
    pairs = shares.prod(0) / known
    counts = pairs > 0
    across = shares.flip(0) / known  # a positive weighs by the share of negatives, and the other way about
    weights = torch.stack(_parts(targets, mask)) * across.unsqueeze(1)
    spread = (weights * (scores - means.unsqueeze(1)).square()).sum(0)
    apart = means[0] - means[1]
    multiplier = (MARGIN - apart).clamp(min=0.0)
    gap = MARGIN * pairs + ((weights[1] - weights[0]) * scores).mean(0)
    losses = spread.mean(0) + 2.0 * multiplier * gap - pairs * multiplier.square()
    return losses.masked_fill(~counts, 0.0).sum() / counts.sum().clamp(min=1)


def _parts(targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """By how much each is a positive and a negative: float32, (N, L) each."""
    known = mask.float()
    positive = targets.float().masked_fill(~mask, 0.0)
    return positive, known - positive


class AUCMargin(Term):
    """The AUC margin term, against class means that follow the network from batch to batch.

    Within a batch the means stand still, so that its parts add up to the whole. The hospital keeps them.
    """

    def __init__(self, context: TermContext) -> None:
        examples, device, state = context.examples, context.device, context.state
        targets, mask = torch.from_numpy(examples.targets), torch.from_numpy(examples.mask)
        self._shares = class_shares(targets, mask).to(device)
        self._means = ClassMeans(**state) if state else ClassMeans.unknowing(targets.shape[1], device)
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def __call__(self, seen: TermInput) -> Tensor:
        scores = seen.student.logits.float().sigmoid()
        self._seen.append((scores.detach(), seen.targets, seen.counted))
        return auc_margin(scores, seen.targets, seen.counted, shares=self._shares, means=self._means.values)

    def end_batch(self) -> None:
        self._means.add(*(torch.cat(parts) for parts in zip(*self._seen, strict=True)))
        self._seen.clear()

    def state(self) -> StateTensors:
        own = {"sums": self._means.sums, "counts": self._means.counts}
        return {name: tensor.cpu().clone() for name, tensor in own.items()}


def _weight(training: Training, phase: PhaseName) -> float:
    return 1.0 if phase == "training" and training.label_loss == "auc_margin" else 0.0


AUC_MARGIN = TermSpec(name="auc_margin", weight=_weight, make=AUCMargin, prefix="label_loss.")
