"""A forward pass with what is between image and logits: the last map and the pooled features."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from fedcxr.errors import ModelError

_SIDE = 2  # positions a side below which a map shows no place


class Traced(NamedTuple):
    """One forward pass over B images.

    Attributes:
        logits: shape (B, 14).
        features: shape (B, C, h, w), the encoder's last map with more than one position; the logits were
            computed from it.
        embedding: shape (B, F), the pooled features.
    """

    logits: Tensor
    features: Tensor
    embedding: Tensor


def trace(model: nn.Module, images: Tensor) -> Traced:
    """Put (B, 1, H, W) images through a model; a model without ``trace`` of its own is watched by hooks.

    Raises:
        ModelError: the model shows no map.
    """
    own: Any = getattr(model, "trace", None)
    if own is not None:
        found = own(images, project=False)
        return Traced(found.output.logits, found.features, found.embedding)
    maps: list[Tensor] = []
    pooled: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) >= _SIDE:
            maps[:] = [output]

    def keep_last(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor):
            pooled[:] = [output.flatten(2).mean(dim=2) if output.ndim > 2 else output]

    encoder = model.get_submodule("encoder")
    handles = [module.register_forward_hook(keep) for module in encoder.modules()]
    handles.append(encoder.register_forward_hook(keep_last))
    try:
        logits = model(images, project=False).logits
    finally:
        for handle in handles:
            handle.remove()
    if not maps or not pooled:
        raise ModelError(
            f"{type(model).__name__} has no map of {_SIDE} x {_SIDE} positions for images of "
            f"{images.shape[-1]} px: larger images (data.size) would have one."
        )
    return Traced(logits, maps[0], pooled[0])


def attend(model: nn.Module, images: Tensor) -> Tensor | None:
    """The model's own attention, float32 (B, 14, H, W), summing to 1 an image and label; None without one."""
    own: Any = getattr(model, "attend", None)
    if own is None:
        return None
    try:
        found = own(images)
    except ModelError:  # it could have one, and was built without
        return None
    maps: Tensor = found if isinstance(found, Tensor) else found.maps
    return maps.float()
