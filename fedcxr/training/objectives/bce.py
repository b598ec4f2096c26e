"""Binary cross-entropy over the labels that say something."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def masked_bce(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean binary cross-entropy over the unmasked labels of a batch, in nats.

    The mean runs over labels, not over images: a hospital that reports two findings of fourteen is asked as
    loudly about those two as one that reports all. Without any unmasked label the loss is 0, with gradient 0.

    Args:
        logits: float, shape (B, L).
        targets: float, shape (B, L), in [0, 1]; read only where ``mask`` is true, so it may be NaN elsewhere.
        mask: bool, shape (B, L): False where a label says nothing.

    Returns:
        A scalar, float32.
    """
    targets = targets.masked_fill(~mask, 0.0)
    losses = functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    return losses.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1)


def masked_bce_of_logs(present: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Return the loss of :func:`masked_bce` for probabilities that come as logarithms, in nats.

    The product of two small probabilities is 0 in float32 long before its logarithm is not.

    Args:
        present: float32, shape (B, L): log P(label), at most 0.
        targets, mask: as of :func:`masked_bce`.

    Returns:
        A scalar, float32.
    """
    targets = targets.masked_fill(~mask, 0.0)
    losses = -(targets * present + (1.0 - targets) * log_of_rest(present))
    return losses.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1)


def log_of_rest(logs: Tensor) -> Tensor:
    """Return log(1 − p) given log p; it and its gradient are finite for every p, 0 and 1 too."""
    logs = logs.clamp(max=-torch.finfo(torch.float32).tiny)
    small = torch.log1p(-logs.clamp(max=-0.5).exp())
    large = torch.log(-torch.expm1(logs.clamp(min=-0.5)))
    return torch.where(logs < -0.5, small, large)
