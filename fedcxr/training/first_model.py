"""The model that a federation starts from, by its configuration, its seed and its pretrained weights.

Whoever has the configuration can make it again. Its bits are the same for any number of threads, but not on
every processor: torch computes normal numbers by vectors where it can, and rounds otherwise elsewhere
(measured with ``ATEN_CPU_CAPABILITY=default`` against AVX2: by up to 1e-6). So two of them are one model
within :data:`ROUNDING`, in which no other weights can hide.
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
from fedcxr.update.layout import MOST_VALUES, Layout, Vector

ROUNDING = 1e-5
"""What a value may be off by, on another processor or build of torch."""

_AT_ONCE = 1 << 18  # values that are compared while a processor's cache has them

LONGEST_WEIGHTS = 4 * MOST_VALUES + (1 << 24)
"""Bytes of pretrained weights with their header."""


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


def farthest(one: Vector, other: Vector) -> float:
    """The largest distance of two values at the same place; infinite where there is none, or NaN."""
    if one.shape != other.shape:
        return float("inf")
    far, apart = 0.0, np.empty(min(one.size, _AT_ONCE), np.float32)
    for start in range(0, one.size, _AT_ONCE):
        here = slice(start, min(start + _AT_ONCE, one.size))
        piece = apart[: here.stop - start]
        np.subtract(one[here], other[here], out=piece)
        largest = float(np.abs(piece, out=piece).max())
        if not np.isfinite(largest):
            return float("inf")
        far = max(far, largest)
    return far


def within_rounding(far: float) -> bool:
    """Whether values so far from each other are the same but for rounding."""
    return far <= ROUNDING


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
