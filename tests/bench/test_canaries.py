"""The empirical check: what an adversary finds is below what is stated, and above it without noise."""

import math

import pytest
from scipy.stats import beta

from fedcxr.bench.canaries import bench_canaries, lower_bound


@pytest.mark.parametrize("epsilon", [1.0, 3.0])
def test_with_noise_the_adversary_finds_less_than_is_stated(epsilon: float) -> None:
    result = bench_canaries(epsilon, canaries=120)
    assert result.stated == epsilon
    assert result.noise_multiplier > 1.0
    assert result.found < epsilon


def test_without_noise_the_adversary_finds_more_than_is_stated() -> None:
    result = bench_canaries(None, canaries=120)
    assert result.stated == math.inf
    assert result.right == result.guessed == 120
    assert result.found > 3.0


def test_half_of_the_noise_that_an_epsilon_wants_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: noise that is far too weak for what is stated shows."""
    monkeypatch.setattr("fedcxr.bench.canaries.noise_multiplier_for", lambda *args: 0.2)
    assert bench_canaries(1.0, canaries=120).found > 1.0


@pytest.mark.parametrize(("right", "guessed"), [(100, 100), (40, 40), (90, 100), (70, 100)])
def test_the_bound_is_that_of_the_share_of_right_guesses(right: int, guessed: int) -> None:
    """Clopper and Pearson's interval of the share, from below; epsilon is its log-odds."""
    share = beta.ppf(0.05, right, guessed - right + 1)
    assert lower_bound(right, guessed, 0.05) == pytest.approx(math.log(share / (1 - share)), abs=1e-6)
    assert lower_bound(guessed // 2, guessed, 0.05) == 0.0
