"""Fixed point against a naive reference, and the bounds that keep a sum inside the ring."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcxr.errors import LayoutError, NonFiniteError
from fedcxr.update import fixed_point
from fedcxr.update.fixed_point import LIMIT, WEIGHT_SUM
from fedcxr.update.layout import Layout, TensorSpec

LAYOUT = Layout(
    (
        TensorSpec("a", (2, 3), False, False),
        TensorSpec("b", (), False, False),
        TensorSpec("v", (4,), True, True),
    )
)
EXPONENTS = (18, 12, 4)


def vectors() -> st.SearchStrategy[np.ndarray]:
    values = st.floats(-1e5, 1e5, width=32)
    return st.lists(values, min_size=LAYOUT.size, max_size=LAYOUT.size).map(lambda v: np.array(v, np.float32))


def naive(delta: np.ndarray, weight: int) -> tuple[list[int], int]:
    exponents = [18] * 6 + [12] + [4] * 4
    out, saturated = [], 0
    for value, exponent in zip(delta.tolist(), exponents, strict=True):
        q = round(Fraction(value) * 2**exponent)  # Python rounds half to even, as rint does
        saturated += abs(q) > LIMIT
        out.append(max(-LIMIT, min(LIMIT, q)) * weight % 2**32)
    return out, saturated


@settings(deadline=None)
@given(vectors(), st.integers(1, WEIGHT_SUM))
def test_encode_is_the_rounded_scaled_clipped_weighted_delta(delta: np.ndarray, weight: int) -> None:
    expected, expected_saturated = naive(delta, weight)
    ring, saturated = fixed_point.encode(delta.copy(), LAYOUT, EXPONENTS, weight)
    assert ring.dtype == np.uint32
    assert ring.tolist() == expected
    assert saturated == expected_saturated
    fixed_point.check_range(ring, weight)


def test_encode_shares_the_deltas_memory() -> None:
    delta = np.ones(LAYOUT.size, np.float32)
    ring, _ = fixed_point.encode(delta, LAYOUT, EXPONENTS, 3)
    assert np.shares_memory(ring, delta)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_tensor(value: float) -> None:
    delta = np.zeros(LAYOUT.size, np.float32)
    delta[6] = value
    with pytest.raises(NonFiniteError, match="b: the update holds NaN or Inf"):
        fixed_point.encode(delta, LAYOUT, EXPONENTS, 1)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 900), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_sum_is_the_weighted_mean_in_any_order(weights: list[int], random: object) -> None:
    rng = np.random.default_rng(len(weights))
    deltas = [rng.normal(0, 0.01, LAYOUT.size).astype(np.float32) for _ in weights]
    base = np.abs(rng.normal(size=LAYOUT.size)).astype(np.float32)
    rings = [
        fixed_point.encode(d.copy(), LAYOUT, (22, 22, 22), w)[0] for d, w in zip(deltas, weights, strict=True)
    ]
    first = fixed_point.apply(base, sum(rings), LAYOUT, (22, 22, 22), sum(weights))
    random.shuffle(rings)  # type: ignore[attr-defined]
    assert np.array_equal(fixed_point.apply(base, sum(rings), LAYOUT, (22, 22, 22), sum(weights)), first)
    mean = sum(w * d.astype(np.float64) for w, d in zip(weights, deltas, strict=True)) / sum(weights)
    expected = base + mean
    expected[7:] = np.maximum(expected[7:], 0)  # the variance
    assert np.allclose(first, expected, atol=2**-22 + 1e-7)


def test_full_weight_at_the_limit_does_not_wrap() -> None:
    delta = np.full(LAYOUT.size, 1e9, np.float32)
    ring, saturated = fixed_point.encode(delta, LAYOUT, EXPONENTS, WEIGHT_SUM)
    assert saturated == LAYOUT.size
    assert ring.view(np.int32).min() == WEIGHT_SUM * LIMIT > 0


def test_an_entry_that_no_honest_hospital_could_send_is_refused() -> None:
    ring = np.zeros(LAYOUT.size, np.uint32)
    ring[2] = np.uint32(2**32 - (5 * LIMIT + 1))  # -(5·LIMIT + 1)
    with pytest.raises(LayoutError, match="exceeds weight 5"):
        fixed_point.check_range(ring, 5)
    fixed_point.check_range(ring, 6)


def test_a_variance_never_falls_below_zero() -> None:
    base = np.zeros(LAYOUT.size, np.float32)
    ring, _ = fixed_point.encode(np.full(LAYOUT.size, -0.5, np.float32), LAYOUT, EXPONENTS, 1)
    model = fixed_point.apply(base, ring, LAYOUT, EXPONENTS, 1)
    assert (model[:7] == -0.5).all()
    assert (model[7:] == 0.0).all()


def test_exponents_follow_the_last_aggregate_and_leave_room() -> None:
    base = np.ones(LAYOUT.size, np.float32)
    first = fixed_point.choose_exponents(LAYOUT, base, None)
    delta = np.full(LAYOUT.size, 0.01, np.float32)
    later = fixed_point.choose_exponents(LAYOUT, base, delta)
    assert later[0] > first[0]  # small steps are written more finely
    assert first[2] < first[0]  # statistics may go far at first
    _, saturated = fixed_point.encode(delta * 15, LAYOUT, later, 1)
    assert saturated == 0
    assert len(fixed_point.choose_exponents(LAYOUT, base, np.zeros_like(base))) == 3


def test_exponents_and_weights_that_do_not_fit_are_refused() -> None:
    delta = np.zeros(LAYOUT.size, np.float32)
    with pytest.raises(LayoutError, match="2 exponents for 3 tensors"):
        fixed_point.encode(delta, LAYOUT, (1, 2), 1)
    with pytest.raises(LayoutError, match="a weight of 4097"):
        fixed_point.encode(delta, LAYOUT, EXPONENTS, WEIGHT_SUM + 1)
    with pytest.raises(LayoutError, match="an exponent is outside"):
        fixed_point.encode(delta, LAYOUT, (1, 2, 60), 1)
