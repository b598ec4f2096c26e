"""Which of a model's tensors a federation shares, which stay as created, and which are the hospitals' own.

A tensor is *shared* if it is part of every update, *frozen* if no round trains it, and *local* if each
hospital has its own (``model.norm = "local"``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from fedcxr import files, tensor_file
from fedcxr.config import Config
from fedcxr.errors import LayoutError, ModelError, StoreError
from fedcxr.models.norm import NORM_POLICIES
from fedcxr.training.state_tensors import LOCAL, StateTensors, below
from fedcxr.training.strategy import ever_trained
from fedcxr.update import frozen_file, model_file
from fedcxr.update.layout import Layout


def federation_layout(model: nn.Module, config: Config) -> Layout:
    """Return the layout of a federation: the tensors that some round of it trains, without the local ones.

    Args:
        model: as :func:`fedcxr.models.registry.create_model` makes it from ``config``.
        config: the federation's.

    Raises:
        ConfigError: ``training.train`` names what the model does not have.
        LayoutError: no tensor would be shared.
    """
    return Layout.of(model, trained=ever_trained(model, config), local=local_names(model, config))


def local_names(model: nn.Module, config: Config) -> frozenset[str]:
    """Return the names of the tensors that every hospital has of its own."""
    return NORM_POLICIES[config.model.norm].local_tensors(model)


def load_local(model: nn.Module, hospital_state: Mapping[str, Tensor]) -> None:
    """Load the local tensors of a hospital's state into ``model``; without any, it stays as created.

    Raises:
        StoreError: the state is of another model.
    """
    state = model.state_dict()
    with torch.no_grad():
        for name, tensor in below(hospital_state, LOCAL).items():
            if name not in state or state[name].shape != tensor.shape:
                raise StoreError(f"{name}: the state that was kept is of another model; remove its file.")
            state[name].copy_(tensor)


def local_state(model: nn.Module, config: Config) -> StateTensors:
    """Return a copy of the model's local tensors, under the names that :func:`load_local` reads."""
    state = model.state_dict()
    return {LOCAL + name: state[name].clone() for name in sorted(local_names(model, config))}


def write_frozen(model: nn.Module, config: Config, layout: Layout, path: Path) -> None:
    """Write the frozen tensors, neither shared nor local, to ``path``; no file where there are none.

    Raises:
        StoreError: the file cannot be written.
    """
    if layout.frozen:
        frozen = frozen_tensors(model, config, layout)
        files.write(path, frozen_file.to_bytes({name: t.float().numpy() for name, t in frozen.items()}))


def frozen_tensors(model: nn.Module, config: Config, layout: Layout) -> dict[str, Tensor]:
    """The tensors of a model that are neither shared nor local."""
    others = {spec.name for spec in layout.tensors} | local_names(model, config)
    state = model.state_dict().items()
    return {n: t.detach().cpu() for n, t in state if t.is_floating_point() and n not in others}


def load_released(path: Path, model: nn.Module, config: Config, *, frozen: Path) -> Layout:
    """Load into ``model`` all that a round released: the shared tensors and the frozen ones, not the local.

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
        return tensor_file.read(path)[0]
    except (ModelError, OSError) as error:
        raise ModelError(
            f"{path}: cannot be read ({error}); the tensors that this run does not train are in it."
        ) from None
