"""The order in which a hospital sees its images, and the reading of one batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedcxr.data.examples import Examples
from fedcxr.data.transforms import to_float
from fedcxr.errors import DataError

Positives = Literal["views", "study", "patient"]


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
    """Batches an epoch; each has two images at least, for a statistic of one is none."""
    return max(1, min(-(-examples // batch_size), examples // 2))


def epoch_batches(
    count: int,
    batch_size: int,
    generator: torch.Generator,
    groups: NDArray[np.int64] | None = None,
) -> Iterator[NDArray[np.int64]]:
    """One epoch over ``count`` examples in random order, as index arrays.

    Batches are as equal as can be (they differ by one at most) instead of full ones and a remainder: no image
    is left out, and no step normalises or contrasts over a handful of leftovers.

    Args:
        count: of the examples.
        batch_size: the largest batch, or one less where an image would be left alone; with groups, one that a
            group lies across may be longer.
        generator: of the order; on the CPU.
        groups: int64, shape (count,): images of one group come in one batch. The batches then end at a
            group's end, the nearest one, unless that would make a batch longer or shorter by over a quarter.
    """
    order = torch.randperm(count, generator=generator)
    parts = batch_count(count, batch_size)
    if groups is None:
        for part in torch.tensor_split(order, parts):
            yield part.numpy()
        return
    together, ends = _grouped(order.numpy(), groups)
    ideal = np.arange(1, parts) * count / parts
    nearest = ends[np.abs(ends[None, :] - ideal[:, None]).argmin(axis=1)] if parts > 1 else ideal
    cuts = np.where(np.abs(nearest - ideal) <= count / parts / 4, nearest, np.round(ideal))
    yield from np.split(together, cuts.astype(np.int64))


def _grouped(
    order: NDArray[np.int64], groups: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """An order with each group's images beside each other, and where the groups end in it.

    Groups come in the order of their first images, which is random, as is that within a group.
    """
    _, first, member = np.unique(groups[order], return_index=True, return_inverse=True)
    place = first[member]  # of the first image of each image's group
    by_group = np.argsort(place, kind="stable")
    ends = np.flatnonzero(np.diff(place[by_group], append=len(order))) + 1
    return order[by_group], ends


def grouping(examples: Examples, positives: Positives) -> NDArray[np.int64] | None:
    """int64 (n,), equal for images that are positives of each other; None where each stands alone.

    Raises:
        DataError: nobody said which images are of one study or patient.
    """
    if positives == "views":
        return None
    groups = examples.studies if positives == "study" else examples.patients
    if groups is None:
        raise DataError(
            f"training.positives = '{positives}': nobody said which images are of one {positives}; "
            "choose 'views'."
        )
    return groups


def read_batch(examples: Examples, indices: NDArray[np.int64]) -> Batch:
    """Read the images of ``indices`` (positions in ``examples``), and nothing else, from the cache.

    Rows are read in the order in which they lie on disk; the order within a batch decides nothing.
    """
    indices = in_disk_order(examples, indices)
    return Batch(
        images=to_float(examples.images[examples.rows[indices]]),
        targets=torch.from_numpy(examples.targets[indices]),
        mask=torch.from_numpy(examples.mask[indices]),
    )


def in_disk_order(examples: Examples, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """``indices`` sorted by where their images lie in the cache."""
    return indices[np.argsort(examples.rows[indices], kind="stable")]
