"""Which rows of a batch show the same thing: the pairs that contrast pulls together.

A batch of B images is seen in two views, 2B rows: row i and row i + B are views of image i. Every
self-supervised term takes its positives from here, so that each of them can be trained on views of one
image, or on the images of one study or patient as well.

The latter is MICLe's idea (S. Azizi et al., "Big Self-Supervised Models Advance Medical Image
Classification", ICCV 2021, https://arxiv.org/abs/2101.05224): a patient's other radiographs are a better
augmentation than any that could be computed. MICLe draws one pair of images a patient; here all images of a
patient in the batch are positives of each other, and the sampler brings them together
(:func:`fedcxr.training.batches.epoch_batches`).
"""

from __future__ import annotations

import torch
from torch import Tensor


def positive_pairs(groups: Tensor) -> Tensor:
    """Which of the 2B rows are positives of which; no row is its own.

    Args:
        groups: int64, shape (B,): equal for images that show the same thing; all different where only the
            views of one image do.

    Returns:
        bool, shape (2B, 2B), symmetric, with at least one True a row.
    """
    both = groups.repeat(2)
    same: Tensor = both.unsqueeze(0) == both.unsqueeze(1)
    return same.fill_diagonal_(False)


def mean_over_positives(values: Tensor, positives: Tensor) -> Tensor:
    """Each row's mean of ``values`` over its positives: (N, M) and bool (N, M) to (N,); 0 without any."""
    return values.masked_fill(~positives, 0.0).sum(1) / positives.sum(1).clamp(min=1)


def self_excluded(similarity: Tensor) -> Tensor:
    """(N, N) similarities with −∞ on the diagonal, so that no row is compared with itself."""
    itself = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    return similarity.masked_fill(itself, float("-inf"))
