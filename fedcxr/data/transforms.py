"""From cached bytes to what the network sees: scaling, normalisation, and augmentation of whole batches.

Augmentation works on tensors of a batch at once, one resampling for all of an image's geometry; every random
number comes from the generator passed in, which stands on the CPU, so that the draw does not depend on where
the images are.

What is done is what differs between two radiographs of one chest: how it was cropped and turned on the
plate, exposure and tube voltage (contrast, gamma), detector noise. Not done:

- vertical flips: no chest stands on its head;
- horizontal flips: the heart, the aortic arch and the gastric bubble have a side, and a mirrored chest is a
  finding of its own (situs inversus), which such a network should not learn to ignore;
- crops to a small part of the area: a view without the costophrenic angles has lost the effusion that its
  label speaks of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """How far a view may go from its image. Ranges are drawn uniformly, each image on its own.

    Attributes:
        min_area: smallest part of the image's area that a crop keeps; the largest is 1.
        aspect: widest change of the crop's aspect ratio, as a factor and its inverse.
        rotation: degrees, either way.
        brightness: added, either way, in units of the full grey range.
        contrast: factor around the image's mean, 1 ± this.
        gamma: exponent, from 1 / (1 + this) to 1 + this.
        noise: largest standard deviation of Gaussian noise, in units of the full grey range.
    """

    min_area: float = 0.7
    aspect: float = 1.1
    rotation: float = 7.0
    brightness: float = 0.1
    contrast: float = 0.2
    gamma: float = 0.2
    noise: float = 0.03

    @classmethod
    def scaled(cls, strength: float) -> Augmentation:
        """The defaults times ``strength``; 0 leaves every image as it is."""
        full = cls()
        return cls(
            min_area=1.0 - strength * (1.0 - full.min_area),
            aspect=1.0 + strength * (full.aspect - 1.0),
            rotation=strength * full.rotation,
            brightness=strength * full.brightness,
            contrast=strength * full.contrast,
            gamma=strength * full.gamma,
            noise=strength * full.noise,
        )


DEFAULT_AUGMENTATION = Augmentation()


def to_float(images: NDArray[np.uint8] | Tensor) -> Tensor:
    """uint8 (B, S, S), as in the cache, to float32 (B, 1, S, S) in [0, 1]; always a copy."""
    tensor = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
    return tensor.unsqueeze(1).float().div_(255.0)


def normalise(images: Tensor) -> Tensor:
    """[0, 1] to [-1, 1], where the network's input lives; Xception's ImageNet weights expect the same."""
    return images.mul(2.0).sub_(1.0)


def augment(
    images: Tensor, generator: torch.Generator, augmentation: Augmentation = DEFAULT_AUGMENTATION
) -> Tensor:
    """A random view of each image: float32 (B, 1, S, S) in [0, 1] to the same shape, device and range.

    ``generator`` is a CPU generator, whatever the images' device.
    """
    images = _resample(images, generator, augmentation)
    images = _expose(images, generator, augmentation)
    return images.add_(_noise(images, generator, augmentation)).clamp_(0.0, 1.0)


def _resample(images: Tensor, generator: torch.Generator, limits: Augmentation) -> Tensor:
    """Random resized crop and rotation, in one bilinear resampling; the border repeats outside."""
    count = len(images)
    area = _uniform(count, limits.min_area, 1.0, generator)
    aspect = _uniform(count, -1.0, 1.0, generator).mul(0.5 * math.log(limits.aspect)).exp()
    width = (area.sqrt() * aspect).clamp(max=1.0)
    height = (area.sqrt() / aspect).clamp(max=1.0)
    angle = _uniform(count, -1.0, 1.0, generator) * math.radians(limits.rotation)
    centre_x = _uniform(count, -1.0, 1.0, generator) * (1.0 - width)  # in [-1, 1] coordinates: the crop
    centre_y = _uniform(count, -1.0, 1.0, generator) * (1.0 - height)  # stays inside before it turns
    rows = [
        torch.stack([width * angle.cos(), -height * angle.sin(), centre_x], dim=1),
        torch.stack([width * angle.sin(), height * angle.cos(), centre_y], dim=1),
    ]
    matrices = torch.stack(rows, dim=1).to(images.device)
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _expose(images: Tensor, generator: torch.Generator, limits: Augmentation) -> Tensor:
    """Gamma, then contrast around each image's mean, then brightness."""

    def draw(low: float, high: float) -> Tensor:
        return _uniform(len(images), low, high, generator).view(-1, 1, 1, 1).to(images.device)

    gamma = draw(-1.0, 1.0).mul(math.log1p(limits.gamma)).exp()
    contrast = draw(1.0 - limits.contrast, 1.0 + limits.contrast)
    brightness = draw(-limits.brightness, limits.brightness)
    images = images.clamp(min=1e-6).pow(gamma)  # 0 ** gamma is a slow path, and 1e-6 is 0 in 8 bits
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean).mul_(contrast).add_(mean + brightness)


def _noise(images: Tensor, generator: torch.Generator, limits: Augmentation) -> Tensor:
    deviation = _uniform(len(images), 0.0, limits.noise, generator).view(-1, 1, 1, 1)
    if images.device.type != "cpu":
        # Drawing every pixel's normal on the CPU would hold a GPU up: one draw seeds the GPU's own generator.
        seed = int(torch.randint(2**62, (1,), generator=generator))
        generator = torch.Generator(images.device).manual_seed(seed)
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    return noise.mul_(deviation.to(images.device))


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low
