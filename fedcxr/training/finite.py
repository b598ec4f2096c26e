"""NaN and infinity in a model, found and named before they become part of an update."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedcxr.errors import NonFiniteError


def check_finite(model: nn.Module, *, where: str) -> None:
    """Raise :class:`NonFiniteError` with the first parameter or buffer that holds NaN or infinity.

    ``where`` says which hospital, round and step; it opens the message.
    """
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, tensor in tensors.items():
        if _broken(tensor):
            raise NonFiniteError(f"{where}: {name} holds NaN or infinity.")


def check_step(model: nn.Module, *, loss: float, gradient_norm: float, where: str) -> None:
    """Raise :class:`NonFiniteError` if a step's loss or gradient is not finite, naming the first tensor."""
    if not torch.isfinite(torch.tensor([loss, gradient_norm])).all():
        check_finite(model, where=where)
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and _broken(parameter.grad):
                raise NonFiniteError(f"{where}: the gradient of {name} holds NaN or infinity (loss {loss}).")
        raise NonFiniteError(f"{where}: the loss is {loss}, the gradient's norm {gradient_norm}.")


def _broken(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
