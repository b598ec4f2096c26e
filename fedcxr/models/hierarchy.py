"""CheXpert's labels as a tree: what a child's logit is worth when it was learned under its parent.

H. Pham, T. Le, D. Tran, D. Ngo, H. Nguyen, "Interpreting chest X-rays via CNNs that exploit hierarchical
disease dependencies and uncertainty labels", Neurocomputing 437, 2021, https://arxiv.org/abs/1911.06475,
section 3.2: a network learns P(child | parent present); what it says of a child is the product down the tree.

The tree follows J. Irvin et al., "CheXpert", AAAI 2019, https://arxiv.org/abs/1901.07031, at a depth of two:
Pneumonia stands beside Consolidation and not below it, so that it is learned from every image with an
opacity, and not only from those whose report names a consolidation too.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PARENTS = (
    -1,  # No Finding
    -1,  # Enlarged Cardiomediastinum
    1,  # Cardiomegaly: of Enlarged Cardiomediastinum
    -1,  # Lung Opacity
    3,  # Lung Lesion: of Lung Opacity, as the next four
    3,  # Edema
    3,  # Consolidation
    3,  # Pneumonia
    3,  # Atelectasis
    -1,  # Pneumothorax
    -1,  # Pleural Effusion
    -1,  # Pleural Other
    -1,  # Fracture
    -1,  # Support Devices
)
"""Each label's parent, as its place in CheXpert's order; −1: none."""

CHILDREN = tuple(label for label, parent in enumerate(PARENTS) if parent >= 0)
"""The labels that have a parent; no parent has one of its own."""


def above(values: Tensor) -> Tensor:
    """The parents' columns of (…, 14), one for each of :data:`CHILDREN`."""
    return values[..., [PARENTS[child] for child in CHILDREN]]


def log_probabilities(logits: Tensor) -> Tensor:
    """log P(label) of conditional logits: the sum of log P(label | parent) down the tree.

    Args:
        logits: float, shape (B, 14): of each label where its parent is present.

    Returns:
        float32, shape (B, 14), at most 0; a child's is never above its parent's.
    """
    return log_given(logits, torch.zeros(logits.shape, dtype=torch.bool, device=logits.device))


def log_given(logits: Tensor, present: Tensor) -> Tensor:
    """log P(label | the parents that are known to be present) of conditional logits.

    A child's own logit where its parent is known to be present, else the product with its parent's.

    Args:
        logits: float, shape (B, 14).
        present: bool, shape (B, 14): the labels that are known to be there.

    Returns:
        float32, shape (B, 14), at most 0.
    """
    conditional = functional.logsigmoid(logits.float())
    parents = torch.zeros_like(conditional)
    parents[..., list(CHILDREN)] = above(conditional).masked_fill(above(present), 0.0)
    return conditional + parents
