"""Corruptions of images: five kinds at five severities.

After Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations" (ICLR 2019, ImageNet-C), https://arxiv.org/abs/1903.12261: Gaussian noise, blur, contrast and
JPEG compression with that benchmark's parameters; rotation, which it lacks and radiographs have, in degrees
that a badly placed patient gives. Blur is Gaussian: the benchmark's defocus is a lens's, and a detector has
none. Its widths go from the benchmark's for 32 pixels (CIFAR-10-C) to those for 224 by the image's side, and
grow with it from there.

Images keep their size and their 8 bits, as a network meets them after decoding. The same seed gives the same
pixels, whatever the batch: an image's noise follows from its number.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from fedcxr.errors import DataError
from fedcxr.seeds import derive_seed

Bytes = NDArray[np.uint8]

SEVERITIES = (1, 2, 3, 4, 5)

_NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)  # standard deviation, of the full scale: ImageNet-C
_BLUR = (1.0, 2.0, 3.0, 4.0, 6.0)  # standard deviation in pixels, of 224 a side: ImageNet-C's Gaussian blur
_BLUR_SMALL = (0.4, 0.6, 0.7, 0.8, 1.0)  # of 32 a side: CIFAR-10-C's
_CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # of the distance from the image's mean: ImageNet-C
_QUALITY = (25, 18, 15, 10, 7)  # of JPEG: ImageNet-C
_ANGLE = (3.0, 6.0, 10.0, 15.0, 25.0)  # degrees; clockwise for odd images


def corrupt(images: Bytes, kind: str, severity: int, *, numbers: NDArray[np.int64], seed: int) -> Bytes:
    """Corrupt a batch of images.

    Args:
        images: uint8, shape (n, S, S).
        kind: of :data:`CORRUPTIONS`.
        severity: 1 to 5.
        numbers: int64, shape (n,): each image's number in its set, which decides its noise.
        seed: of the noise.

    Returns:
        uint8, shape (n, S, S).

    Raises:
        DataError: no such corruption or severity.
    """
    if kind not in CORRUPTIONS:
        raise DataError(f"no corruption {kind!r} (allowed: {', '.join(CORRUPTIONS)}).")
    if severity not in SEVERITIES:
        raise DataError(f"severity {severity}: allowed are 1 to 5.")
    return CORRUPTIONS[kind](images, severity, numbers, seed)


def _noise(images: Bytes, severity: int, numbers: NDArray[np.int64], seed: int) -> Bytes:
    drawn = np.empty(images.shape, dtype=np.float32)
    for row, number in enumerate(numbers.tolist()):  # a generator an image; its pixels come at once
        generator = np.random.default_rng(derive_seed(seed, "noise", severity, number))
        generator.standard_normal(dtype=np.float32, out=drawn[row])
    drawn *= np.float32(255 * _NOISE[severity - 1])
    drawn += images
    return _to_bytes(torch.from_numpy(drawn))


def _blur(images: Bytes, severity: int, numbers: NDArray[np.int64], seed: int) -> Bytes:
    side = images.shape[-1]
    small, large = _BLUR_SMALL[severity - 1], _BLUR[severity - 1]
    sigma = float(np.interp(side, (32, 224), (small, large))) if side <= 224 else large * side / 224
    reach = min(max(1, round(3 * sigma)), side - 1)
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    seen = torch.from_numpy(images).float()[:, None]
    seen = functional.pad(seen, (reach, reach, reach, reach), mode="reflect")[:, 0]
    # Shifted and added in one order: a convolution's sums depend on its batch.
    rows = torch.zeros((len(images), side, side + 2 * reach))
    for offset, weight in enumerate(kernel.tolist()):
        rows.add_(seen[:, offset : offset + side], alpha=weight)
    blurred = torch.zeros((len(images), side, side))
    for offset, weight in enumerate(kernel.tolist()):
        blurred.add_(rows[:, :, offset : offset + side], alpha=weight)
    return _to_bytes(blurred)


def _contrast(images: Bytes, severity: int, numbers: NDArray[np.int64], seed: int) -> Bytes:
    seen = torch.from_numpy(images).float()
    mean = torch.from_numpy(images.mean(axis=(1, 2), dtype=np.float64)).float()[:, None, None]
    return _to_bytes((seen - mean) * _CONTRAST[severity - 1] + mean)


def _compression(images: Bytes, severity: int, numbers: NDArray[np.int64], seed: int) -> Bytes:
    packed = np.empty_like(images)
    for row, image in enumerate(images):  # a codec takes one image
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=_QUALITY[severity - 1])
        packed[row] = np.asarray(Image.open(file))
    return packed


def _rotation(images: Bytes, severity: int, numbers: NDArray[np.int64], seed: int) -> Bytes:
    signs = np.where(numbers % 2 == 0, 1.0, -1.0)
    angle = torch.from_numpy(np.deg2rad(_ANGLE[severity - 1]) * signs).float()
    cos, sin, none = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    turn = torch.stack([torch.stack([cos, -sin, none], 1), torch.stack([sin, cos, none], 1)], 1)
    seen = torch.from_numpy(images).float()[:, None]
    grid = functional.affine_grid(turn, list(seen.shape), align_corners=False)
    return _to_bytes(functional.grid_sample(seen, grid, mode="bilinear", align_corners=False)[:, 0])


def _to_bytes(pixels: Tensor) -> Bytes:
    made: Bytes = pixels.round_().clamp_(0, 255).to(torch.uint8).numpy()
    return made


CORRUPTIONS: dict[str, Callable[[Bytes, int, NDArray[np.int64], int], Bytes]] = {
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
    "compression": _compression,
    "rotation": _rotation,
}
"""By name."""
