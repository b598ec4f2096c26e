"""The kinds of aggregation, a row each."""

from __future__ import annotations

from fedcxr.aggregation.aggregator import Aggregator
from fedcxr.aggregation.masked_sum import MaskedSum
from fedcxr.aggregation.weighted_sum import WeightedSum
from fedcxr.update.fixed_point import Ring
from fedcxr.update.layout import Layout

AGGREGATORS: dict[str, type[Aggregator]] = {"weighted_sum": WeightedSum, "masked_sum": MaskedSum}


def aggregator_of(layout: Layout, total: Ring | None = None, *, kind: str = "weighted_sum") -> Aggregator:
    """An empty sum of a round, or one that goes on in ``total``.

    Args:
        layout: of the updates.
        total: uint32 (layout.size,), a buffer to add into.
        kind: of :data:`AGGREGATORS`.
    """
    return AGGREGATORS[kind](layout, total)
