"""What normalisation a federation uses: ``model.norm`` of the configuration.

Batch statistics are where non-IID federations go wrong: a hospital's running mean and variance describe its
own scanner. Four policies, an object each (:data:`NORM_POLICIES`):

- ``shared``: BatchNorm as it is. Running statistics travel and are averaged like any other float tensor.
- ``local``: BatchNorm of which nothing travels, neither statistics nor scale (FedBN, Li et al. 2021,
  https://arxiv.org/abs/2102.07623): each hospital keeps its own.
- ``frozen``: BatchNorm with the statistics that the weights came with, in training too. For pretrained
  weights only: the statistics of random weights describe nothing. What stands beside the encoder has none
  that it came with, and gets GroupNorm.
- ``group``: GroupNorm in BatchNorm's place (Wu and He 2018, https://arxiv.org/abs/1803.08494): no
  statistics at all, hence nothing of a hospital's case mix in them.

A model without BatchNorm, as a vision transformer with its LayerNorm, has nothing for the last three to act
on: asking for one of them is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Self

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fedcxr.config import NormName
from fedcxr.errors import ConfigError

GROUPS = 32  # Wu and He's default; fewer where 32 does not divide the channels (728 in Xception: 8)


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm that always uses its running statistics; weight and bias still train."""

    def train(self, mode: bool = True) -> Self:
        return super().train(mode=False)  # whatever is asked: that is the point


class NormAct(nn.Module):
    """What timm's BatchNorm with an activation in it becomes: another norm, then the same activation.

    The norm's tensors keep their names.
    """

    drop: nn.Module
    act: nn.Module

    def take_activation(self, norm: BatchNormAct2d) -> None:
        """Take over what ``norm`` does after normalising."""
        self.drop, self.act = norm.drop, norm.act


class FrozenBatchNormAct2d(FrozenBatchNorm2d, NormAct):
    """:class:`FrozenBatchNorm2d` with an activation."""

    def forward(self, images: Tensor) -> Tensor:
        activated: Tensor = self.act(self.drop(super().forward(images)))
        return activated


class GroupNormAct(nn.GroupNorm, NormAct):
    """GroupNorm with an activation."""

    def forward(self, images: Tensor) -> Tensor:
        activated: Tensor = self.act(self.drop(super().forward(images)))
        return activated


class NormPolicy:
    """One value of ``model.norm``: how BatchNorm is built, and which of its tensors stay at the hospital.

    What else follows from the policy is in the configuration: ``config.model.normalisation``.
    """

    def apply(self, model: nn.Module) -> None:
        """Replace every BatchNorm2d of ``model`` by what the policy says, in place.

        Weights are not carried over: call it on an architecture, before its weights are set.

        Raises:
            ConfigError: the model has no BatchNorm that the policy could act on, or one of another dimension.
        """

    def local_tensors(self, model: nn.Module) -> frozenset[str]:
        """Return the names of the tensors that each hospital has of its own, and does not share."""
        return frozenset()


class Shared(NormPolicy):
    """BatchNorm as it is."""


class Local(NormPolicy):
    """BatchNorm as it is, of which each hospital has its own (FedBN)."""

    def apply(self, model: nn.Module) -> None:
        _check_has_batch_norm(model, "local")

    def local_tensors(self, model: nn.Module) -> frozenset[str]:
        return batch_norm_tensors(model)


class Frozen(NormPolicy):
    """BatchNorm with the encoder's statistics held; GroupNorm beside the encoder."""

    def apply(self, model: nn.Module) -> None:
        _replace(model, "frozen", lambda path: path.startswith("encoder."))


class Group(NormPolicy):
    """GroupNorm in BatchNorm's place."""

    def apply(self, model: nn.Module) -> None:
        _replace(model, "group", lambda path: False)


NORM_POLICIES: Mapping[NormName, NormPolicy] = {
    "shared": Shared(),
    "local": Local(),
    "frozen": Frozen(),
    "group": Group(),
}
"""The policies by the value of ``model.norm``; :mod:`fedcxr.config.normalisation` has their other half."""


def batch_norm_tensors(model: nn.Module) -> frozenset[str]:
    """Return the names of the floating-point tensors of every BatchNorm: weights, biases and statistics."""
    return frozenset(
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if isinstance(module, _BatchNorm)
        for name, tensor in module.state_dict().items()
        if tensor.is_floating_point()
    )


def _check_has_batch_norm(model: nn.Module, policy: NormName) -> None:
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise ConfigError(
            f"model.norm = '{policy}' is about BatchNorm, and this model has none: set it to 'shared'."
        )


def _replace(model: nn.Module, policy: NormName, frozen: Callable[[str], bool]) -> None:
    """Put a frozen BatchNorm where ``frozen`` says so of a layer's path, and GroupNorm elsewhere."""
    _check_has_batch_norm(model, policy)
    for prefix, parent in list(model.named_modules()):
        for name, child in list(parent.named_children()):
            path = f"{prefix}.{name}" if prefix else name
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, _replacement(child, frozen=frozen(path)))
            elif isinstance(child, _BatchNorm):
                raise ConfigError(
                    f"model.norm = '{policy}': {prefix}.{name} is a {type(child).__name__}, for which there "
                    "is only 'shared' or 'local'."
                )


def _replacement(norm: nn.BatchNorm2d, *, frozen: bool) -> nn.Module:
    activated = isinstance(norm, BatchNormAct2d)
    with torch.device(norm.weight.device):
        if frozen:
            kind = FrozenBatchNormAct2d if activated else FrozenBatchNorm2d
            made: nn.Module = kind(norm.num_features, eps=norm.eps, momentum=norm.momentum)
        else:
            groups = math.gcd(GROUPS, norm.num_features)
            made = (GroupNormAct if activated else nn.GroupNorm)(groups, norm.num_features, eps=norm.eps)
    if isinstance(norm, BatchNormAct2d) and isinstance(made, NormAct):
        made.take_activation(norm)
    return made
