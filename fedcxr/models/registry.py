"""Models by name: ``create_model(config.model, seed=...)``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from fedcxr import config
from fedcxr.errors import ConfigError, ModelError
from fedcxr.models.checkpointing import checkpoint_blocks
from fedcxr.models.compact import Compact
from fedcxr.models.dual_stream import DualStream
from fedcxr.models.encoders import classifier_names, colours_of, hub_weights, is_encoder
from fedcxr.models.initial import initialise, unstated
from fedcxr.models.network import Network
from fedcxr.models.norm import NORM_POLICIES
from fedcxr.models.plain import Plain
from fedcxr.models.semssxl import SemSSXL
from fedcxr.models.weights import load_weights, read_weights
from fedcxr.spelling import suggestion

_MODELS: dict[str, Callable[[config.Model], Network]] = {
    "compact": Compact,
    "dual_stream": DualStream,
    "plain": Plain,
    "semssxl": SemSSXL,
}


def model_names() -> tuple[str, ...]:
    """The names that ``model.name`` may take, sorted."""
    return tuple(sorted(_MODELS))


def build_model(settings: config.Model) -> Network:
    """The architecture alone, on the CPU, in eval mode: what weights are about to be loaded into.

    Parameters are the initial ones of seed 0, so that nothing is undefined; nothing is read or fetched.

    Raises:
        ConfigError: timm has no such encoder, or this model cannot do what the configuration asks.
        ModelError: ``settings.name`` is not in the registry.
    """
    return _construct(settings, seed=0)


def create_model(settings: config.Model, *, seed: int) -> Network:
    """A model with its starting weights, on the CPU: deterministic, and no global random state is touched.

    The heads start at random from ``seed``; so does the encoder, unless ``settings.pretrained`` says where
    its weights are.

    Raises:
        ConfigError: as of :func:`build_model`; ``norm = "frozen"`` without pretrained weights; no weights
            exist to fetch.
        ModelError: an unknown name; a weight file or hub that cannot be read, or does not fit.
    """
    model = _construct(settings, seed=seed)
    if not settings.pretrained:
        if settings.normalisation.wants_pretrained:
            raise ConfigError(
                f"model.norm = '{settings.norm}' keeps the statistics that pretrained weights came with, and "
                "model.pretrained is empty: name weights, or choose norm 'shared' or 'group'."
            )
        return model
    if settings.pretrained == "timm":
        if settings.name == "compact" or settings.streams == "autoencoder":
            raise ConfigError(
                f"model.pretrained = 'timm': timm's hub has no weights for {settings.name!r} as it is set."
            )
        tensors, source = hub_weights(settings.encoder), "timm's hub"
    else:
        path = Path(settings.pretrained).expanduser()
        tensors, source = read_weights(path), str(path)
    load_weights(
        model,
        tensors,
        source=source,
        dropped=classifier_names(model.encoder),
        colours=colours_of(model.encoder),
    )
    return model


def _construct(settings: config.Model, *, seed: int) -> Network:
    with torch.device("meta"):  # nothing is drawn from the global generator, see fedcxr.models.initial
        model = _build(settings)
        left = unstated(model)
    if left:  # layers that only timm can start: it draws from the global generator, which is put back
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model = _build(settings)
    else:
        model.to_empty(device="cpu")
    initialise(model, seed=seed, left=left)
    if settings.checkpointing:
        checkpoint_blocks(model.encoder)
    return model.eval()


def _build(settings: config.Model) -> Network:
    try:
        build = _MODELS[settings.name]
    except KeyError:
        meant = suggestion(settings.name, model_names())
        if is_encoder(settings.name):
            meant = f" For an encoder of timm: model.name = plain, model.encoder = {settings.name}."
        raise ModelError(
            f"model.name = {settings.name!r}: no such model; the registry has {', '.join(model_names())}."
            f"{meant}"
        ) from None
    model = build(settings)
    NORM_POLICIES[settings.norm].apply(model)
    return model
