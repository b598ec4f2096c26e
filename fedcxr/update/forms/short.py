"""The short form: 16-bit integers, rounded up or down at random so that no rounding error adds up.

A scale that is sixteen times coarser loses what is smaller than half a step, round after round, where it is
always rounded to the nearest. Rounding up as often as the rest says (stochastic rounding: Gupta et al., "Deep
Learning with Limited Numerical Precision", 2015, https://arxiv.org/abs/1502.02551) keeps the mean of every
value, and the sum over hospitals is nearer to it than each. What is drawn follows from the configuration's
seed, the round and the hospital, so that a round that is trained again gives the same update. The integers
are packed as those of :mod:`fedcxr.update.forms.packed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fedcxr.update import fixed_point
from fedcxr.update.fixed_point import Ring
from fedcxr.update.forms.packed import Packed
from fedcxr.update.layout import Layout, Vector
from fedcxr.update.stochastic import Lots


class Short(Packed):
    """q within ±32,767, with exponents of its own; its sum is in the same ring."""

    name: ClassVar[str] = "short"
    limit: ClassVar[int] = 2**15 - 1

    def encode(
        self, delta: Vector, layout: Layout, exponents: Sequence[int], weight: int, seed: int
    ) -> tuple[Ring, int]:
        lots = Lots(seed)
        return fixed_point.encode(
            delta, layout, exponents, weight, limit=self.limit, round_in_place=lots.round
        )
