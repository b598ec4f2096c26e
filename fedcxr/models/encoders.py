"""Encoders by timm's name, on one-channel images of any size, without a classifier.

Two kinds are changed on the way:

- **Vision transformers** take images of any size: their position embedding is that of 224 px, interpolated to
  the grid at hand, and what is short of a whole patch is padded. They pool the mean of their patches and not
  the class token: so the patches are the map that the logits come from, which Grad-CAM looks at, and from
  scratch it is the better choice (Beyer et al. 2022, https://arxiv.org/abs/2205.01580).
- **VGG** pools its last map as the others do. Its two hidden layers of 4,096 are left out: 120 M of 134 M
  parameters, of which every hospital would send all.

``vit_input_enhanced`` is :mod:`fedcxr.models.input_enhanced`.
"""

from __future__ import annotations

import difflib
from typing import Any, NamedTuple

import timm
import torch
from timm.models import VGG, VisionTransformer
from torch import Tensor, nn

from fedcxr.errors import ConfigError, ModelError
from fedcxr.models.input_enhanced import INPUT_ENHANCED, create_input_enhanced
from fedcxr.models.weights import OURS, Colours

ANY_SIZE: dict[str, Any] = {
    "dynamic_img_size": True,
    "dynamic_img_pad": True,
    "global_pool": "avg",
    "fc_norm": False,
}
"""Options of timm's vision transformers. The last norm stays before the pooling, as in their weights."""


def is_encoder(name: str) -> bool:
    """Whether :func:`create_encoder` knows the name."""
    return name == INPUT_ENHANCED or timm.is_model(name)


def create_encoder(name: str, *, pretrained: bool = False, channels: int = 1) -> Any:  # timm types a Module
    """Make an encoder, with weights as timm draws them from the global generator, or from its hub.

    Its images have one channel, as ours, or the three of its checkpoint.

    Raises:
        ConfigError: timm has no such model, or none for one channel; the closest names are in the message.
    """
    if name == INPUT_ENHANCED:
        return create_input_enhanced(ANY_SIZE)
    if not timm.is_model(name):
        names = [*timm.list_models(), INPUT_ENHANCED]
        close = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
        hint = f"the closest are {', '.join(close)}" if close else "timm.list_models() has them all"
        raise ConfigError(f"model.encoder = {name!r}: timm {timm.__version__} has no such model; {hint}.")
    try:
        encoder = timm.create_model(name, pretrained=False, in_chans=channels, num_classes=0)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"model.encoder = {name!r}: timm cannot make it for one channel: {error}") from None
    options = ANY_SIZE if isinstance(encoder, VisionTransformer) else {}
    if options or pretrained:
        encoder = timm.create_model(name, pretrained=pretrained, in_chans=channels, num_classes=0, **options)
    if isinstance(encoder, VGG):
        encoder.pre_logits = nn.Identity()  # type: ignore[assignment]
    return encoder


def hub_weights(name: str) -> dict[str, Tensor]:
    """Fetch an encoder's ImageNet weights from timm's hub, with a stem of three channels; timm caches them.

    Raises:
        ConfigError: the hub has none for it.
        ModelError: the hub cannot be reached, or what it holds does not fit.
    """
    if name == INPUT_ENHANCED or not timm.is_model_pretrained(name):
        raise ConfigError(f"model.pretrained = 'timm': timm's hub has no weights for {name!r}.")
    try:
        with torch.random.fork_rng(devices=[]):  # what timm draws first is written over
            encoder = create_encoder(name, pretrained=True, channels=3)
    except (OSError, RuntimeError) as error:  # URLError and a bad hash; tensors that do not fit
        raise ModelError(
            f"model.pretrained = 'timm': timm's hub did not give the weights of {name} ({error}). "
            "Connect to the network once, or name a .safetensors file."
        ) from error
    return dict(encoder.state_dict())


def classifier_names(encoder: nn.Module) -> tuple[str, ...]:
    """Return the prefixes of an ImageNet checkpoint's classifier tensors, which an encoder has no use for."""
    found: Any = getattr(encoder, "pretrained_cfg", None) or {}
    names = found.get("classifier") or ()
    names = (names,) if isinstance(names, str) else tuple(names)
    more = ("last_linear", "pre_logits")  # Cadene's classifier; VGG's hidden layers
    return tuple(f"{name}." for name in (*names, *more))


def colours_of(encoder: nn.Module) -> Colours:
    """Return how an ImageNet checkpoint's images were normalised; as ours where timm does not say."""
    found: Any = getattr(encoder, "pretrained_cfg", None) or {}
    if not found.get("mean"):
        return OURS
    return Colours(tuple(found["mean"]), tuple(found["std"]))


class Width(NamedTuple):
    """How wide an encoder's output is: channels of its last map, and pooled features."""

    channels: int
    features: int


def width_of(encoder: nn.Module) -> Width:
    """The width of an encoder, found by a pass over one empty image of its own size; free on "meta"."""
    size = int(getattr(encoder, "pretrained_cfg", {}).get("input_size", (3, 224, 224))[-1])
    device = next(encoder.parameters()).device
    mode = encoder.training
    with torch.no_grad():
        features, pooled = encode(encoder.eval(), torch.zeros(1, 1, size, size, device=device))
    encoder.train(mode)
    return Width(features.shape[1], pooled.shape[1])


def encode(encoder: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return an encoder's last map, (B, C, h, w), and the features that it pools from it, (B, F).

    Raises:
        ModelError: the encoder does not take images of this size.
    """
    try:
        found = encoder.forward_features(images)
    except AssertionError as error:  # timm's word for it
        raise ModelError(
            f"{type(encoder).__name__} takes no images of {tuple(images.shape[-2:])} px ({error}): "
            "choose another data.size, or another model.encoder."
        ) from None
    if found.ndim == 3:  # tokens: put aside those that are no patches, and come back from the map
        ahead = getattr(encoder, "num_prefix_tokens", 0)
        prefix, patches = found[:, :ahead], found[:, ahead:]
        features = patches.transpose(1, 2).unflatten(2, _grid(encoder, images, patches.shape[1]))
        tokens = torch.cat([prefix, features.flatten(2).transpose(1, 2)], dim=1)
        return features, encoder.forward_head(tokens)
    if found.shape[1] != encoder.num_features and found.shape[-1] == encoder.num_features:
        features = found.permute(0, 3, 1, 2)
        return features, encoder.forward_head(features.permute(0, 2, 3, 1))
    return found, encoder.forward_head(found)


def _grid(encoder: Any, images: Tensor, patches: int) -> tuple[int, int]:
    """Rows and columns of an encoder's patches."""
    height, width = images.shape[-2:]
    embedding: Any = getattr(encoder, "patch_embed", None)
    if hasattr(embedding, "dynamic_feat_size"):
        rows, columns = embedding.dynamic_feat_size((height, width))
        if rows * columns == patches:
            return rows, columns
    rows = round((patches * height / width) ** 0.5)
    return rows, patches // rows
