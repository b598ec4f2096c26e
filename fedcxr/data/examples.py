"""What a trainer reads: rows of a decoded image cache, with targets and a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Examples:
    """A set of images in a cache, in a fixed order.

    Attributes:
        images: uint8, shape (N, S, S): the whole cache, usually a memory map; never loaded at once.
        rows: int64, shape (n,): which images of the cache these examples are.
        targets: float32, shape (n, 14), in [0, 1].
        mask: bool, shape (n, 14): False where a label says nothing and must not enter the loss.
        patients: int64, shape (n,): equal for images of one patient; None where nobody said.
        studies: int64, shape (n,): equal for images of one study; None where nobody said.
    """

    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    targets: NDArray[np.float32]
    mask: NDArray[np.bool_]
    patients: NDArray[np.int64] | None = None
    studies: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labelled(self) -> Examples:
        """Those that have a known label."""
        known = self.mask.any(axis=1)
        if known.all():
            return self
        return Examples(
            self.images,
            self.rows[known],
            self.targets[known],
            self.mask[known],
            None if self.patients is None else self.patients[known],
            None if self.studies is None else self.studies[known],
        )
