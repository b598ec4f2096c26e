"""Labels that depend on each other: which of them a loss is taken over, and that loss.

H. Pham et al., "Interpreting chest X-rays via CNNs that exploit hierarchical disease dependencies and
uncertainty labels", 2021, https://arxiv.org/abs/1911.06475: a child's loss counts only where its parent is
present, so that its logit is that of P(child | parent). H. Chen, S. Miao, D. Xu, G. Hager, A. Harrison, "Deep
hierarchical multi-label classification applied to chest X-ray abnormality taxonomies", Medical Image Analysis
66, 2020, https://arxiv.org/abs/2009.05609: afterwards the probabilities themselves, products down the tree,
are fine-tuned on all images. New here: children of whose parent nothing is known, by the product.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fedcxr.models.hierarchy import CHILDREN, PARENTS, above, log_given, log_probabilities
from fedcxr.training.objectives.bce import masked_bce, masked_bce_of_logs

PRESENT = 0.5  # a target above it is a finding that is there; soft targets lie on either side


def implied_parents(targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the labels with the parent of every finding that is present marked as present too.

    A parent that was not asked about, or is said to be absent, gets the largest target of its present
    children; else targets and mask stay what they are.

    Args:
        targets: float, shape (B, 14), in [0, 1]; read only where ``mask`` is true.
        mask: bool, shape (B, 14).

    Returns:
        Both anew, in the same shapes.
    """
    targets, mask = targets.clone(), mask.clone()
    for child in CHILDREN:
        parent = PARENTS[child]
        present = mask[:, child] & (targets[:, child] > PRESENT)
        higher = present & ~(mask[:, parent] & (targets[:, parent] >= targets[:, child]))
        targets[:, parent] = torch.where(higher, targets[:, child], targets[:, parent])
        mask[:, parent] |= present
    return targets, mask


def possible(targets: Tensor, mask: Tensor) -> Tensor:
    """Return which labels may be present in an image: all but children whose parent is known to be absent.

    Args:
        targets: float, shape (B, 14), with implied parents.
        mask: bool, shape (B, 14), likewise.

    Returns:
        bool, shape (B, 14).
    """
    left = torch.ones_like(mask)
    left[:, list(CHILDREN)] = ~above(mask & (targets <= PRESENT))
    return left


def conditional_bce(logits: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
    """Mean binary cross-entropy of what conditional logits say of each label, given its parent; in nats.

    Of a child whose parent is there, that is its own logit. Where nobody said whether the parent is there, a
    child that is known to be absent is so by the product; to leave it out would leave such a child no
    negatives at all in data that report findings one by one.

    Args:
        logits: float, shape (B, 14), conditional.
        targets: float, shape (B, 14), in [0, 1], with implied parents; read only where ``counted`` is true.
        counted: bool, shape (B, 14): what is known and :func:`possible`.

    Returns:
        A scalar, float32; 0, with gradient 0, where nothing counts.
    """
    return masked_bce_of_logs(log_given(logits, counted & (targets > PRESENT)), targets, counted)


def whole_bce(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean binary cross-entropy of the probabilities that conditional logits give, in nats.

    Args:
        logits: float, shape (B, 14), conditional.
        targets: float, shape (B, 14), in [0, 1]; read only where ``mask`` is true.
        mask: bool, shape (B, 14).

    Returns:
        A scalar, float32; 0, with gradient 0, where nothing is known.
    """
    return masked_bce_of_logs(log_probabilities(logits), targets, mask)


def label_loss(
    logits: Tensor, targets: Tensor, mask: Tensor, labels: Literal["flat", "conditional"]
) -> Tensor:
    """Return the label loss of a model's probabilities, whatever its logits mean; in nats.

    Models are compared by it. With ``conditional`` labels it runs over all images, on the probabilities.
    """
    if labels == "flat":
        return masked_bce(logits, targets, mask)
    return whole_bce(logits, *implied_parents(targets, mask))
