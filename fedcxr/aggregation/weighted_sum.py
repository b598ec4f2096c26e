"""The weighted sum of a round: every update that counts and is in range, by the weight that it carries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedcxr.aggregation.aggregator import Aggregator
from fedcxr.errors import LayoutError
from fedcxr.update import fixed_point
from fedcxr.update.fixed_point import Ring
from fedcxr.update.layout import Vector


class WeightedSum(Aggregator):
    """Σ w·q over hospitals, in the ring of 2^32; no update is compared with another."""

    def screen(self, update: Ring, weight: int) -> None:
        self.layout.check(update)
        check_weights(weight)
        fixed_point.check_range(update, weight)

    def add(self, update: Ring, weight: int) -> None:
        self.screen(update, weight)
        check_weights(self.weight + weight)
        np.add(self._total, update, out=self._total)
        self.weight += weight

    def remove(self, update: Ring, weight: int) -> None:
        np.subtract(self._total, update, out=self._total)
        self.weight -= weight

    def model(self, base: Vector, exponents: Sequence[int]) -> Vector:
        if self.weight == 0:
            raise LayoutError("nothing was added to the sum.")
        return fixed_point.apply(base, self._total, self.layout, exponents, self.weight)


def check_weights(total: int) -> None:
    """Raises LayoutError where weights sum to more than the ring has room for."""
    if total > fixed_point.WEIGHT_SUM:
        raise LayoutError(f"weights sum to {total}, above {fixed_point.WEIGHT_SUM}.")
