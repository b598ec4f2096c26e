"""Rounding up or down at random, as often as the rest says, so that the mean of many is the value itself."""

from __future__ import annotations

import numpy as np

from fedcxr.update.layout import Vector

_AT_ONCE = 1 << 18  # values that are rounded while a processor's cache has them
_STEP = np.float32(2.0**-24)  # of what is drawn: float32 has each multiple below one


class Lots:
    """Draws from one seed, in the order in which they are asked for.

    The bits are those of PCG64 itself: numpy keeps them from version to version, and its distributions not.
    """

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def round(self, values: Vector) -> None:
        """Round, in place: down to the integer below, or up with the probability of the rest.

        Taken apart first, since a float32 has no room for a large value's integer and a draw in full.
        """
        for start in range(0, values.size, _AT_ONCE):
            piece = values[start : start + _AT_ONCE]
            floors = np.floor(piece)
            np.subtract(piece, floors, out=piece)
            np.add(floors, self._draw(piece.size) < piece, out=piece)

    def _draw(self, count: int) -> Vector:
        """Uniform in [0, 1), float32 (count,)."""
        words = self._bits.random_raw(-(-count // 2)).astype("<u8", copy=False).view("<u4")[:count]
        return (words >> np.uint32(8)).astype(np.float32) * _STEP
