"""NT-Xent, the contrastive loss of SimCLR.

T. Chen, S. Kornblith, M. Norouzi, G. Hinton, "A Simple Framework for Contrastive Learning of Visual
Representations", ICML 2020, https://arxiv.org/abs/2002.05709, equation 1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised, temperature-scaled cross entropy between two views of B images, in nats.

    Row i of ``first`` and row i of ``second`` are views of one image; the other 2B − 2 rows are negatives.
    Computed in float32 whatever the inputs: exp(similarity / temperature) does not survive bfloat16.

    Args:
        first: float, shape (B, D), not normalised.
        second: the same shape.
        temperature: above 0; 0.1 to 0.5 in the paper.

    Returns:
        A scalar, float32; 0 for B = 1, which has no negatives.

    Raises:
        ValueError: the two differ in shape.
    """
    if first.shape != second.shape:
        raise ValueError(f"two views of one batch differ in shape: {first.shape} and {second.shape}")
    count = len(first)
    views = functional.normalize(torch.cat([first, second]).float(), dim=1)
    similarity = views @ views.T / temperature
    itself = torch.eye(2 * count, dtype=torch.bool, device=views.device)
    similarity = similarity.masked_fill(itself, float("-inf"))
    partner = torch.arange(2 * count, device=views.device).roll(count)
    return functional.cross_entropy(similarity, partner)
