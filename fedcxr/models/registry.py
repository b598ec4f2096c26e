"""Models by name: ``create_model(config.model, seed=...)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fedcxr import config
from fedcxr.errors import ConfigError, ModelError
from fedcxr.models.compact import Compact
from fedcxr.models.initial import initialise
from fedcxr.models.network import Network
from fedcxr.models.norm import apply_norm
from fedcxr.models.semssxl import CLASSIFIER, SemSSXL, hub_weights
from fedcxr.models.weights import load_weights, read_weights


@dataclass(frozen=True)
class _Entry:
    build: Callable[[config.Model], Network]
    hub: Callable[[], Mapping[str, Tensor]] | None = None  # where model.pretrained = "timm" gets its weights
    dropped: tuple[str, ...] = ()  # what an ImageNet checkpoint of this encoder calls its classifier


_ENTRIES = {
    "compact": _Entry(Compact),
    "semssxl": _Entry(SemSSXL, hub_weights, CLASSIFIER),
}


def model_names() -> tuple[str, ...]:
    """The names that ``model.name`` may take, sorted."""
    return tuple(sorted(_ENTRIES))


def build_model(settings: config.Model) -> Network:
    """The architecture alone, on the CPU, in eval mode: what weights are about to be loaded into.

    Parameters are the initial ones of seed 0, so that nothing is undefined; nothing is read or fetched.

    Raises:
        ModelError: ``settings.name`` is not in the registry.
    """
    return _construct(settings, seed=0)


def create_model(settings: config.Model, *, seed: int) -> Network:
    """A model with its starting weights, on the CPU: deterministic, and no global random state is touched.

    The heads start at random from ``seed``; so does the encoder, unless ``settings.pretrained`` says where
    its weights are.

    Raises:
        ConfigError: ``norm = "frozen"`` without pretrained weights, or no weights exist to fetch.
        ModelError: an unknown name; a weight file or hub that cannot be read, or does not fit.
    """
    model = _construct(settings, seed=seed)
    entry = _entry(settings.name)
    if not settings.pretrained:
        if settings.norm == "frozen":
            raise ConfigError(
                "model.norm = 'frozen' keeps the statistics that pretrained weights came with, and "
                "model.pretrained is empty: name weights, or choose norm 'shared' or 'group'."
            )
        return model
    if settings.pretrained == "timm":
        if entry.hub is None:
            raise ConfigError(f"model.pretrained = 'timm': timm's hub has no weights for {settings.name!r}.")
        load_weights(model, entry.hub(), source="timm's hub")
    else:
        path = Path(settings.pretrained).expanduser()
        load_weights(model, read_weights(path), source=str(path), dropped=entry.dropped)
    return model


def _construct(settings: config.Model, *, seed: int) -> Network:
    with torch.device("meta"):  # nothing is drawn from the global generator, see fedcxr.models.initial
        model = _entry(settings.name).build(settings)
        apply_norm(model, settings.norm)
    model.to_empty(device="cpu")
    initialise(model, seed=seed)
    return model.eval()


def _entry(name: str) -> _Entry:
    try:
        return _ENTRIES[name]
    except KeyError:
        raise ModelError(
            f"model.name = {name!r}: no such model; the registry has {', '.join(model_names())}."
        ) from None
