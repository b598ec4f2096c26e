"""How far two vectors are from each other, and whether that is no more than what processors round.

A first model's bits are the same for any number of threads, but not on every processor: torch computes normal
numbers by vectors where it can, and rounds otherwise elsewhere (measured with
``ATEN_CPU_CAPABILITY=default`` against AVX2: by up to 1e-6). So two of them are one model within
:data:`ROUNDING`, in which no other weights can hide.
"""

from __future__ import annotations

import numpy as np

from fedcxr.update.layout import Vector

ROUNDING = 1e-5
"""What a value may be off by, on another processor or build of torch."""

_AT_ONCE = 1 << 18  # values that are compared while a processor's cache has them


def farthest(one: Vector, other: Vector) -> float:
    """The largest distance of two values at the same place; infinite where there is none, or NaN."""
    if one.shape != other.shape:
        return float("inf")
    far, apart = 0.0, np.empty(min(one.size, _AT_ONCE), np.float32)
    for start in range(0, one.size, _AT_ONCE):
        here = slice(start, min(start + _AT_ONCE, one.size))
        piece = apart[: here.stop - start]
        np.subtract(one[here], other[here], out=piece)
        largest = float(np.abs(piece, out=piece).max())
        if not np.isfinite(largest):
            return float("inf")
        far = max(far, largest)
    return far


def within_rounding(far: float) -> bool:
    """Whether values so far from each other are the same but for rounding."""
    return far <= ROUNDING
