"""Models by name: ``create_model(config.model, seed=...)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

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
_UNBUILT = (RuntimeError, OverflowError, TypeError, ValueError, AttributeError, LookupError, AssertionError)
"""What timm's encoders and torch's layers raise where they are not made as a configuration says."""


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


def create_model(
    settings: config.Model, *, seed: int, weights: Mapping[str, Tensor] | None = None
) -> Network:
    """A model with its starting weights, on the CPU: deterministic, and no global random state is touched.

    The heads start at random from ``seed``; so does the encoder, unless ``settings.pretrained`` says where
    its weights are.

    Args:
        settings: of the model.
        seed: of what starts at random.
        weights: the pretrained ones, where they are at hand already; None to read or fetch them.

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
    load_weights(
        model,
        pretrained_tensors(settings) if weights is None else weights,
        source="timm's hub" if settings.pretrained == "timm" else settings.pretrained,
        dropped=classifier_names(model.encoder),
        colours=colours_of(model.encoder),
    )
    return model


def pretrained_tensors(settings: config.Model) -> Mapping[str, Tensor]:
    """The weights that ``settings.pretrained`` names, as its file or timm's hub has them.

    Raises:
        ConfigError, ModelError: as :func:`create_model`.
    """
    if settings.pretrained != "timm":
        return read_weights(Path(settings.pretrained).expanduser())
    if settings.name == "compact" or settings.streams == "autoencoder":
        raise ConfigError(
            f"model.pretrained = 'timm': timm's hub has no weights for {settings.name!r} as it is set."
        )
    return hub_weights(settings.encoder)


def count_values(settings: config.Model) -> int:
    """How many values a model has; none of them is made.

    Raises:
        ConfigError, ModelError: as :func:`build_model`; or it is too large to be described.
    """
    try:
        with torch.device("meta"):
            model = _build(settings)
        return sum(tensor.numel() for tensor in model.state_dict().values())
    except _UNBUILT as error:
        raise ModelError(f"model.name = {settings.name!r}: it cannot be built: {error!s:.200}") from None


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
