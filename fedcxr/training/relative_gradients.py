"""Auto-RGN: each unit of the model learns at a rate in proportion to its relative gradient norm.

Y. Lee et al., "Surgical Fine-Tuning Improves Adaptation to Distribution Shifts", ICLR 2023,
https://arxiv.org/abs/2210.11466, section 5: the norm of a layer's gradient over that of its weights says how
far it is from where the data want it; rates are scaled by it, the largest to 1. Measured on the first step of
every local epoch, from the gradient that is there anyway. The units are those of
:mod:`fedcxr.training.strategy`, for a bias that starts at zero has no relative norm of its own.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn

from fedcxr.training.strategy import unit_of


def relative_gradient_norms(model: nn.Module) -> dict[str, float]:
    """Each unit's gradient norm over its weight norm, divided by the largest of them: in [0, 1].

    Units without a gradient are left out; with no gradient at all the answer is empty.
    """
    weights: dict[str, list[Tensor]] = defaultdict(list)
    gradients: dict[str, list[Tensor]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            weights[unit_of(name)].append(parameter.detach())
            gradients[unit_of(name)].append(parameter.grad)
    found = {unit: float(_norm(gradients[unit]) / _norm(weights[unit]).clamp(min=1e-12)) for unit in weights}
    largest = max(found.values(), default=0.0)
    return {unit: value / largest for unit, value in found.items()} if largest > 0 else {}


def _norm(tensors: list[Tensor]) -> Tensor:
    norm: Tensor = torch.stack(torch._foreach_norm(tensors)).double().norm()
    return norm
