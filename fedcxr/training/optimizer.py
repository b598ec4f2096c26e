"""AdamW, made anew for every round of every hospital."""

from __future__ import annotations

import torch
from torch import nn

from fedcxr.config import Training


def make_optimizer(model: nn.Module, training: Training) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101), one fused pass over the weights.

    Its moments are fresh each round: they belong to one hospital's gradients, and the weights that come back
    are everybody's average. Biases and normalisation weights are not decayed: shrinking them shrinks nothing
    that the next layer does not scale up again.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)
