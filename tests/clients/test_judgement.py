"""What a validator thinks of an update, and what it has kept to judge on."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.judgement import SCALE, judge
from clients.shard import hold_back
from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import NonFiniteError
from fedcxr.models.registry import create_model
from fedcxr.update.layout import Layout, Vector


@pytest.fixture(scope="module")
def start(small_config: Config) -> tuple[Vector, Layout]:
    model = create_model(small_config.model, seed=1)
    layout = Layout.of(model)
    return layout.flatten(model.state_dict()), layout


@pytest.fixture(scope="module")
def held_back() -> Examples:
    """Images of noise, with one label that is always there and one that is never told."""
    rng = np.random.default_rng(0)
    targets = np.zeros((10, 14), np.float32)
    targets[:, 3] = 1.0
    mask = np.ones((10, 14), np.bool_)
    mask[:, 5] = False
    return Examples(rng.integers(0, 256, (10, 32, 32), np.uint8), np.arange(10), targets, mask)


def with_bias(layout: Layout, base: Vector, by: float) -> Vector:
    """The base with every label's bias moved towards what the labels say."""
    place = next(
        place
        for spec, place in zip(layout.tensors, layout.slices, strict=True)
        if spec.shape == (14,) and spec.name.endswith("bias")
    )
    moved = base.copy()
    step = np.full(14, -by, np.float32)
    step[3] = by
    moved[place] += step
    return moved


def test_a_better_model_is_approved_with_its_gain(
    small_config: Config, start: tuple[Vector, Layout], held_back: Examples
) -> None:
    base, layout = start
    little = judge(base, with_bias(layout, base, 0.5), layout, held_back, small_config)
    much = judge(base, with_bias(layout, base, 3.0), layout, held_back, small_config)
    assert little.accepted
    assert much.accepted
    assert 0 < little.score < much.score <= SCALE


def test_a_worse_model_is_rejected_beyond_the_tolerance(
    small_config: Config, start: tuple[Vector, Layout], held_back: Examples
) -> None:
    base, layout = start
    worse = with_bias(layout, base, -2.0)
    said = judge(base, worse, layout, held_back, small_config)
    assert not said.accepted
    assert said.score < 0
    lenient = small_config.with_changes({"validation.tolerance": 100.0})
    assert judge(base, worse, layout, held_back, lenient).accepted


def test_the_same_model_gains_nothing(
    small_config: Config, start: tuple[Vector, Layout], held_back: Examples
) -> None:
    base, layout = start
    assert judge(base, base, layout, held_back, small_config) == judge(
        base, base.copy(), layout, held_back, small_config
    )
    assert judge(base, base, layout, held_back, small_config).score == 0


def test_a_model_that_is_not_finite_is_an_error(
    small_config: Config, start: tuple[Vector, Layout], held_back: Examples
) -> None:
    base, layout = start
    broken = with_bias(layout, base, float("nan"))
    with pytest.raises(NonFiniteError):
        judge(base, broken, layout, held_back, small_config)


def test_who_cannot_judge_stands_in_nobodys_way(
    small_config: Config, start: tuple[Vector, Layout], held_back: Examples
) -> None:
    base, layout = start
    none = replace(held_back, rows=held_back.rows[:0], targets=held_back.targets[:0], mask=held_back.mask[:0])
    said = judge(base, with_bias(layout, base, -9.0), layout, none, small_config)
    assert (said.accepted, said.score) == (True, 0)


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=80),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32),
)
def test_a_patient_is_held_back_whole_or_not_at_all(numbers: list[int], share: float, seed: int) -> None:
    patients = np.array([f"patient{n:05d}" for n in numbers])
    held = hold_back(patients, share, seed)
    known = len(set(numbers))
    chosen = {p for p, h in zip(patients, held, strict=True) if h}
    assert not chosen & {p for p, h in zip(patients, held, strict=True) if not h}
    assert len(chosen) == (0 if known < 2 else min(max(round(share * known), 1), known - 1))
    assert np.array_equal(held, hold_back(patients, share, seed))
