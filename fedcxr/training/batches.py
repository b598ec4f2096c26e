"""The order in which a hospital sees its images, and the reading of one batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedcxr.data.examples import Examples
from fedcxr.data.transforms import to_float


class Batch(NamedTuple):
    """One batch of B images, before augmentation, on the CPU.

    Attributes:
        images: float32, shape (B, 1, S, S), in [0, 1].
        targets: float32, shape (B, 14).
        mask: bool, shape (B, 14).
    """

    images: Tensor
    targets: Tensor
    mask: Tensor


def batch_count(examples: int, batch_size: int) -> int:
    """Batches an epoch."""
    return -(-examples // batch_size)


def epoch_batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[NDArray[np.int64]]:
    """One epoch over ``count`` examples in random order, as index arrays.

    Batches are as equal as can be (they differ by one at most) instead of full ones and a remainder: no image
    is left out, and no step normalises or contrasts over a handful of leftovers.
    """
    order = torch.randperm(count, generator=generator)
    for part in torch.tensor_split(order, batch_count(count, batch_size)):
        yield part.numpy()


def read_batch(examples: Examples, indices: NDArray[np.int64]) -> Batch:
    """Read the images of ``indices`` (positions in ``examples``), and nothing else, from the cache.

    Rows are read in the order in which they lie on disk; the order within a batch decides nothing.
    """
    indices = indices[np.argsort(examples.rows[indices], kind="stable")]
    return Batch(
        images=to_float(examples.images[examples.rows[indices]]),
        targets=torch.from_numpy(examples.targets[indices]),
        mask=torch.from_numpy(examples.mask[indices]),
    )
