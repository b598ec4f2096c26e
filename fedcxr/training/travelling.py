"""Which of a model's tensors travel in a federation, which stay as created, and which are the hospitals'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from fedcxr import files
from fedcxr.config import Config
from fedcxr.errors import LayoutError, ModelError, StoreError
from fedcxr.models.norm import local_names
from fedcxr.training.kept import LOCAL, Kept, below
from fedcxr.training.strategy import ever_trained
from fedcxr.update import model_file
from fedcxr.update.layout import Layout


def federation_layout(model: nn.Module, config: Config) -> Layout:
    """The layout of a federation: what some round of it trains, but for what is the hospitals' own.

    Args:
        model: as :func:`fedcxr.models.registry.create_model` makes it from ``config``.
        config: the federation's.

    Raises:
        ConfigError: ``training.train`` names what the model does not have.
        LayoutError: nothing would travel.
    """
    return Layout.of(model, trained=ever_trained(model, config), local=own_names(model, config))


def own_names(model: nn.Module, config: Config) -> frozenset[str]:
    """The tensors that every hospital has of its own: BatchNorm's, with ``model.norm = "local"``."""
    return local_names(model) if config.model.norm == "local" else frozenset()


def take_own(model: nn.Module, kept: Mapping[str, Tensor]) -> None:
    """Put what a hospital kept of its own normalisation into ``model``; without any, it stays as created.

    Raises:
        StoreError: what was kept is of another model.
    """
    state = model.state_dict()
    with torch.no_grad():
        for name, tensor in below(kept, LOCAL).items():
            if name not in state or state[name].shape != tensor.shape:
                raise StoreError(f"{name}: the state that was kept is of another model; remove its file.")
            state[name].copy_(tensor)


def keep_own(model: nn.Module, config: Config) -> Kept:
    """What a hospital keeps of its own normalisation, under the names that :func:`take_own` reads."""
    state = model.state_dict()
    return {LOCAL + name: state[name].clone() for name in sorted(own_names(model, config))}


def write_frozen(model: nn.Module, config: Config, layout: Layout, path: Path) -> None:
    """Write the tensors that neither travel nor are a hospital's own; no file where there are none.

    Raises:
        StoreError: it cannot be written.
    """
    if layout.frozen:
        travelling = {spec.name for spec in layout.tensors} | own_names(model, config)
        state = model.state_dict().items()
        frozen = {n: t.contiguous() for n, t in state if t.is_floating_point() and n not in travelling}
        files.write(path, save(frozen))


def load_released(path: Path, model: nn.Module, config: Config, *, frozen: Path) -> Layout:
    """Make ``model`` the one that a round released, whole but for what is the hospitals' own.

    Args:
        path: the round's model file.
        model: of the architecture; its weights are written over.
        config: the run's.
        frozen: :attr:`fedcxr.store.run_directory.RunDirectory.frozen_path`.

    Returns:
        The layout, with the digest of the frozen tensors as they were found.

    Raises:
        ModelError, LayoutError: a file is missing, or does not fit the model.
    """
    layout = federation_layout(model, config)
    if layout.frozen:
        state = model.state_dict()
        with torch.no_grad():
            for name, tensor in _read(frozen).items():
                if name not in state or state[name].shape != tensor.shape:
                    raise LayoutError(f"{frozen}: {name} is not a tensor of this model.")
                state[name].copy_(tensor)
        layout = federation_layout(model, config)
    layout.load(model_file.read(path, layout), model)
    return layout


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path}: cannot be read ({error}); the tensors that this run does not train are in it."
        ) from None
