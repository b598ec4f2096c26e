"""The model that a federation starts from, by its configuration, its seed and its pretrained weights.

Whoever has the configuration can make it again, bit for bit, but for rounding:
:mod:`fedcxr.update.rounding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fedcxr.config import Config, Model
from fedcxr.errors import ModelError
from fedcxr.models.network import Network
from fedcxr.models.registry import create_model, pretrained_tensors
from fedcxr.training.shared_tensors import federation_layout, frozen_tensors
from fedcxr.update import merkle
from fedcxr.update.layout import Layout, Vector


@dataclass(frozen=True)
class FirstModel:
    """The first model, as it is made here.

    Attributes:
        config: the federation's.
        model: with its starting weights.
        layout: of the federation.
    """

    config: Config
    model: Network
    layout: Layout

    @classmethod
    def of(cls, config: Config, weights: Mapping[str, Tensor] | None = None) -> FirstModel:
        """Make the model.

        Args:
            config: the federation's.
            weights: pretrained ones; None for those that the configuration names, on this machine.

        Raises:
            ConfigError, ModelError: it cannot be made, or has no tensor to share.
        """
        model = create_model(config.model, seed=config.seed, weights=weights)
        return cls(config, model, federation_layout(model, config))

    @cached_property
    def vector(self) -> Vector:
        """Its shared tensors."""
        return self.layout.flatten(self.model.state_dict())

    @cached_property
    def frozen(self) -> Vector:
        """The values that no round trains, in the order of their names; empty where there are none."""
        tensors = frozen_tensors(self.model, self.config, self.layout)
        values = [tensors[name].numpy().reshape(-1) for name in sorted(tensors)]
        return np.concatenate(values) if values else np.empty(0, np.float32)


def read_pretrained(settings: Model) -> Mapping[str, Tensor] | None:
    """The pretrained weights that a configuration names, as they are on this machine; None where it has none.

    Raises:
        ConfigError: there are none to fetch.
        ModelError: they cannot be read, or are not those whose digest the configuration has.
    """
    if not settings.pretrained:
        return None
    tensors = pretrained_tensors(settings)
    named = settings.pretrained_digest
    if named and (found := weights_digest(tensors)) != named:
        raise ModelError(
            f"model.pretrained = {settings.pretrained!r}: the weights here have the digest {found}, and the "
            f"configuration names {named}."
        )
    return tensors


def weights_data(tensors: Mapping[str, Tensor]) -> bytes:
    """Pretrained weights as a blob: a .safetensors file of nothing but the tensors."""
    return save({name: tensor.contiguous() for name, tensor in sorted(tensors.items())})


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """Merkle root, in hex, of :func:`weights_data`: ``model.pretrained_digest``, and the blob's name."""
    return merkle.root(weights_data(tensors)).hex()


def read_weights_data(data: bytes) -> dict[str, Tensor]:
    """Read :func:`weights_data` back.

    Raises:
        ModelError: it is none.
    """
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"pretrained weights that cannot be read: {error!s:.200}") from None
