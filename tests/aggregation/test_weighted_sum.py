"""The weighted sum: equal to a naive one, and closed to what does not belong in it."""

import numpy as np
import pytest

from fedcxr.aggregation.masked_sum import MaskedSum
from fedcxr.aggregation.weighted_sum import WeightedSum
from fedcxr.errors import LayoutError
from fedcxr.update import fixed_point, merkle
from fedcxr.update.layout import Layout, TensorSpec

LAYOUT = Layout((TensorSpec("w", (100,), False, False),))


def update(seed: int, weight: int) -> np.ndarray:
    delta = np.random.default_rng(seed).normal(0, 0.1, 100).astype(np.float32)
    return fixed_point.encode(delta, LAYOUT, (18,), weight)[0]


def test_updates_add_to_the_naive_sum() -> None:
    total = WeightedSum(LAYOUT)
    updates = [update(seed, weight) for seed, weight in ((1, 1000), (2, 3000))]
    for ring, weight in zip(updates, (1000, 3000), strict=True):
        total.add(ring, weight)
    expected = [sum(column) % 2**32 for column in zip(*(u.tolist() for u in updates), strict=True)]
    assert total.weight == 4000
    assert total.root == merkle.root(np.array(expected, "<u4"))
    base = np.zeros(100, np.float32)
    signed = np.array(expected, np.uint32).view(np.int32)
    assert np.array_equal(total.model(base, (18,)), (signed / (4000 * 2.0**18)).astype(np.float32))


def test_an_update_that_does_not_pass_leaves_the_sum_as_it_was() -> None:
    total = WeightedSum(LAYOUT)
    total.add(update(1, 5), 5)
    before = total.root
    with pytest.raises(LayoutError, match="exceeds weight"):
        total.add(np.full(100, 2**31 - 1, np.uint32), 5)
    with pytest.raises(LayoutError, match="100 values"):
        total.add(update(2, 5)[:99], 5)
    assert total.root == before
    assert total.weight == 5


def test_an_update_that_is_removed_leaves_no_trace() -> None:
    total, without = WeightedSum(LAYOUT), WeightedSum(LAYOUT)
    for seed, weight in ((1, 1000), (2, 3000)):
        total.add(update(seed, weight), weight)
    without.add(update(2, 3000), 3000)
    total.remove(update(1, 1000), 1000)
    assert (total.root, total.weight) == (without.root, without.weight)


def test_weights_beyond_the_rings_room_are_refused() -> None:
    total = WeightedSum(LAYOUT)
    total.add(update(1, 4000), 4000)
    with pytest.raises(LayoutError, match="weights sum to 4100"):
        total.add(update(1, 100), 100)


def test_a_sum_of_nothing_has_no_model() -> None:
    with pytest.raises(LayoutError, match="nothing was added"):
        WeightedSum(LAYOUT).model(np.zeros(100, np.float32), (18,))


@pytest.mark.parametrize("kind", [WeightedSum, MaskedSum])
def test_a_weight_that_no_round_has_does_not_pass(kind: type[WeightedSum]) -> None:
    kind(LAYOUT).screen(np.zeros(100, np.uint32), fixed_point.WEIGHT_SUM)
    with pytest.raises(LayoutError, match="weights sum to 4097"):
        kind(LAYOUT).screen(np.zeros(100, np.uint32), fixed_point.WEIGHT_SUM + 1)
