"""Mean squared error between images and what a model's autoencoder makes of them."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def reconstruction_error(reconstruction: Tensor, images: Tensor) -> Tensor:
    """Mean squared error over all pixels, in the units of the network's input ([−1, 1]), squared.

    Args:
        reconstruction: float, shape (N, 1, S, S).
        images: float, the same shape: what the network saw.

    Returns:
        A scalar, float32.

    Raises:
        ValueError: the two differ in shape.
    """
    if reconstruction.shape != images.shape:
        raise ValueError(f"images of shape {images.shape}, but a reconstruction of {reconstruction.shape}")
    return functional.mse_loss(reconstruction.float(), images.float())
