"""Binary cross-entropy over the labels that say something."""

from __future__ import annotations

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
