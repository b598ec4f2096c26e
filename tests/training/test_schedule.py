"""The learning rate over a federation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcxr.config import Training
from fedcxr.training.schedule import learning_rate, step_progress

TRAINING = Training(learning_rate=1.0, min_learning_rate=0.1, warmup_rounds=2.0)


@pytest.mark.parametrize(
    ("progress", "rate"),
    [(0.0, 0.0), (1.0, 0.5), (2.0, 1.0), (6.0, 0.55), (10.0, 0.1)],
    ids=["start", "half warm-up", "peak", "half cosine", "end"],
)
def test_known_values(progress: float, rate: float) -> None:
    assert learning_rate(progress, 10, TRAINING) == pytest.approx(rate)


def test_no_warmup_starts_at_the_peak() -> None:
    assert learning_rate(0.0, 10, Training(learning_rate=1.0, warmup_rounds=0.0)) == 1.0


def test_warmup_takes_half_of_a_short_federation_at_most() -> None:
    assert learning_rate(1.0, 2, TRAINING) == pytest.approx(1.0)
    assert learning_rate(2.0, 2, TRAINING) == pytest.approx(0.1)


@given(st.integers(1, 50), st.floats(0, 1), st.floats(0, 60))
def test_the_rate_stays_between_zero_and_the_peak(rounds: int, fraction: float, warmup: float) -> None:
    training = Training(learning_rate=1e-3, min_learning_rate=1e-5, warmup_rounds=warmup)
    assert 0.0 <= learning_rate(fraction * rounds, rounds, training) <= 1e-3


@given(st.integers(1, 9), st.integers(1, 200))
def test_a_rounds_steps_lie_inside_the_round_and_ascend(round_index: int, steps: int) -> None:
    progress = [step_progress(round_index, step, steps) for step in range(steps)]
    assert progress == sorted(progress)
    assert round_index - 1 < progress[0] <= progress[-1] < round_index


def test_hospitals_of_different_sizes_share_the_rate_in_the_middle_of_a_round() -> None:
    few, many = step_progress(3, 2, 5), step_progress(3, 50, 101)
    assert learning_rate(few, 5, TRAINING) == pytest.approx(learning_rate(many, 5, TRAINING))
