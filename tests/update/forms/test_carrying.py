"""Every form: one update is one string of bytes, and comes back as it was."""

import numpy as np
import pytest

from fedcxr.errors import LayoutError
from fedcxr.update import fixed_point
from fedcxr.update.forms import bit_packing
from fedcxr.update.forms.form import Form
from fedcxr.update.forms.kinds import FORMS, form_named
from fedcxr.update.forms.short import Short
from fedcxr.update.layout import Layout, TensorSpec
from fedcxr.update.stochastic import Lots

LAYOUT = Layout((TensorSpec("a", (60, 50), False, False), TensorSpec("v", (7,), True, True)))
EXPONENTS = (16, 4)
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def delta(seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(LAYOUT.size) * 1e-2).astype(np.float32)


@every_form
@pytest.mark.parametrize("weight", [1, 7, 4096])
def test_what_is_carried_is_restored(form: Form, weight: int) -> None:
    update, saturated = form.encode(delta(), LAYOUT, EXPONENTS, weight, seed=3)
    assert saturated == 0
    data = form.carry(update, weight)
    assert data.dtype == np.uint8
    assert data.nbytes <= form.longest(LAYOUT.size)
    for out in (None, np.empty(LAYOUT.size, np.uint32)):
        room = form.room(data.nbytes, out)
        room[:] = data
        again = form.restore(room, LAYOUT.size, weight, out)
        assert np.array_equal(again, update)
        assert out is None or np.shares_memory(again, out)
    assert np.abs(update.view(np.int32)).max() <= weight * form.limit


@every_form
def test_the_same_seed_gives_the_same_bytes(form: Form) -> None:
    one, other = (
        form.carry(form.encode(delta(), LAYOUT, EXPONENTS, 3, seed=5)[0], 3).tobytes() for _ in range(2)
    )
    assert one == other


def test_packed_integers_are_those_of_the_plain_form() -> None:
    plain, packed = (
        form_named(name).encode(delta(), LAYOUT, EXPONENTS, 9, seed)[0]
        for name, seed in (("plain", 1), ("packed", 2))
    )
    assert np.array_equal(plain, packed)
    base = delta(8)
    assert form_named("plain").exponents(LAYOUT, base, None) == form_named("packed").exponents(
        LAYOUT, base, None
    )


def test_the_short_form_has_sixteen_bits_and_coarser_exponents() -> None:
    base, moved = delta(8), delta(9)
    for last in (None, moved):
        fine, coarse = (form_named(n).exponents(LAYOUT, base, last) for n in ("plain", "short"))
        assert [a - b for a, b in zip(fine, coarse, strict=True)] == [4, 4]
        assert all(e in fixed_point.later_exponents(Short.limit) for e in coarse)
    huge = np.full(LAYOUT.size, 1e6, np.float32)
    update, saturated = Short().encode(huge, LAYOUT, EXPONENTS, 1, seed=0)
    assert saturated == LAYOUT.size
    assert set(update.view(np.int32)) == {2**15 - 1}
    assert len(form_named("short").carry(update, 1)) > 2 * LAYOUT.size  # 16 bits each, and widths


def test_rounding_at_random_keeps_the_mean_and_takes_a_neighbour() -> None:
    values = np.repeat(np.float32([0.25, -1.75, 30000.0625, -0.5, 7.0]), 40_000)
    rounded = values.copy()
    Lots(4).round(rounded)
    assert (np.abs(rounded - values) < 1).all()
    assert np.array_equal(rounded, np.rint(rounded))
    means = rounded.reshape(5, -1).astype(np.float64).mean(axis=1)
    assert np.abs(means - values[::40_000]).max() < 0.012  # 4.8 deviations of a mean of 40,000 draws
    assert set(rounded[-40_000:]) == {7.0}


def test_rounding_draws_the_bits_that_pcg64_has_always_given() -> None:
    """numpy promises that; a federation that is trained again has to end with the same bits."""
    values = np.full(8, 0.5, np.float32)
    Lots(2026).round(values)
    bits = np.random.PCG64(2026).random_raw(4).astype("<u8").view("<u4") >> 8
    assert values.tolist() == [float(b < 2**23) for b in bits]


@pytest.mark.parametrize("name", ["packed", "short"])
def test_an_update_that_its_weight_does_not_divide_is_not_carried(name: str) -> None:
    with pytest.raises(LayoutError, match="no multiple of its weight, 7"):
        form_named(name).carry(np.uint32([7, 14, 15]), 7)


def test_integers_beyond_the_forms_range_are_not_restored() -> None:
    """Of the sixteen bits one pattern is no value: -32,768 has no opposite."""
    data = bit_packing.pack(iter([np.int32([-(2**15)])]), 1, 16)
    with pytest.raises(LayoutError, match="beyond 32767"):
        form_named("short").restore(data, 1, 1, None)
    assert form_named("packed").restore(data, 1, 1, None).view(np.int32).tolist() == [-(2**15)]
