"""What normalisation a federation uses: ``model.norm`` of the configuration.

Batch statistics are where non-IID federations go wrong: a hospital's running mean and variance describe its
own scanner. Four policies:

- ``shared``: BatchNorm as it is. Running statistics travel and are averaged like any other float tensor.
- ``local``: BatchNorm of which nothing travels, neither statistics nor scale (FedBN, Li et al. 2021,
  https://arxiv.org/abs/2102.07623): each hospital keeps its own.
- ``frozen``: BatchNorm with the statistics that the weights came with, in training too. For pretrained
  weights only: the statistics of random weights describe nothing.
- ``group``: GroupNorm in BatchNorm's place (Wu and He 2018, https://arxiv.org/abs/1803.08494): no
  statistics at all, hence nothing of a hospital's case mix in them.
"""

from __future__ import annotations

import math
from typing import Literal, Self

from torch import nn

NormPolicy = Literal["shared", "local", "frozen", "group"]

GROUPS = 32  # Wu and He's default; fewer where 32 does not divide the channels (728 in Xception: 8)


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm that always uses its running statistics; weight and bias still train."""

    def train(self, mode: bool = True) -> Self:
        return super().train(mode=False)  # whatever is asked: that is the point


def apply_norm(model: nn.Module, policy: NormPolicy) -> None:
    """Replace every BatchNorm2d of ``model`` by what ``policy`` says, in place.

    Weights are not carried over: call it on an architecture, before its weights are set.
    """
    if policy in ("shared", "local"):
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, _replacement(child, policy))


def _replacement(norm: nn.BatchNorm2d, policy: NormPolicy) -> nn.Module:
    device = norm.weight.device
    if policy == "frozen":
        return FrozenBatchNorm2d(norm.num_features, eps=norm.eps, momentum=norm.momentum, device=device)
    groups = math.gcd(GROUPS, norm.num_features)
    return nn.GroupNorm(groups, norm.num_features, eps=norm.eps, device=device)
