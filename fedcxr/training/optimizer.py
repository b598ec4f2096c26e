"""AdamW, made anew for every round of every hospital."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from fedcxr.config import Training
from fedcxr.training.strategy import HEAD, unit_of


def make_optimizer(
    model: nn.Module, training: Training, heads: Iterable[nn.Parameter] = ()
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101), one fused pass over the weights.

    Its moments are fresh each round: they belong to one hospital's gradients, and the weights that come back
    are everybody's average. Biases and normalisation weights are not decayed: shrinking them shrinks nothing
    that the next layer does not scale up again.

    Each group says in ``scale`` by how much of the schedule's rate it is trained: 1, until ``auto_rgn``
    measures; then there is a pair of groups for each ``unit`` of the model.

    Args:
        model: its parameters that require a gradient are trained.
        training: rate, decay and strategy.
        heads: further parameters, which stay at the hospital.
    """
    apart = training.strategy == "auto_rgn"
    units: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (unit_of(name) if apart else HEAD, parameter.ndim > 1)
            units.setdefault(key, []).append(parameter)
    for parameter in heads:
        units.setdefault((HEAD, parameter.ndim > 1), []).append(parameter)
    groups = [
        {
            "params": parameters,
            "weight_decay": training.weight_decay if decayed else 0.0,
            "unit": unit,
            "scale": 1.0,
        }
        for (unit, decayed), parameters in sorted(units.items(), key=lambda item: not item[0][1])
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)
