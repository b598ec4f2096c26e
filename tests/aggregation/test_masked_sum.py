"""The sum of masked updates: once unmasked, it is one that honest updates can have, or none."""

from __future__ import annotations

import numpy as np
import pytest

from fedcxr.aggregation.masked_sum import MaskedSum
from fedcxr.errors import LayoutError
from fedcxr.privacy.secagg import mask
from fedcxr.update.fixed_point import LIMIT
from fedcxr.update.layout import Layout, TensorSpec

VALUES, WEIGHT = 1_000, 100
LAYOUT = Layout((TensorSpec("w", (VALUES,), False, False),))
SEED = bytes(range(32))


def summed(values: np.ndarray[tuple[int], np.dtype[np.int32]]) -> MaskedSum:
    total = MaskedSum(LAYOUT)
    masked = values.astype(np.int32).view(np.uint32).copy()
    mask.apply(masked, [SEED], [])
    total.add(masked, WEIGHT)
    return total


def test_a_mask_is_taken_off_and_the_sum_is_what_was_masked() -> None:
    values = np.arange(VALUES, dtype=np.int32) * np.int32(-100)
    total = summed(values)
    total.unmask([SEED], [])
    assert np.array_equal(total.total.view(np.int32), values)


def test_what_no_honest_sum_has_is_none() -> None:
    most = WEIGHT * LIMIT
    few = np.zeros(VALUES, np.int32)
    few[: VALUES // 100] = most  # one in a hundred may be large
    summed(few).unmask([SEED], [])
    few[VALUES // 100] = most // 2 + 1
    with pytest.raises(LayoutError, match="11 of 1000 values"):
        summed(few).unmask([SEED], [])
    one = np.zeros(VALUES, np.int32)
    one[7] = -most - 1
    with pytest.raises(LayoutError, match="1 of 1000 values"):
        summed(one).unmask([SEED], [])


def test_a_sum_whose_masks_are_still_on_is_none() -> None:
    with pytest.raises(LayoutError, match="a sum that is none"):
        summed(np.zeros(VALUES, np.int32)).unmask([bytes(32)], [])
