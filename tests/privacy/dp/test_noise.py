"""Noise and samples: their distributions, and where they come from."""

import numpy as np
import pytest
from scipy.stats import binomtest, kstest

from fedcxr.privacy.dp.noise import SecureNoise

KEY = bytes(range(32))


def test_normals_are_normal_and_whole() -> None:
    drawn = SecureNoise(KEY).normals(300_001, 1000.0)
    assert drawn.dtype == np.int64
    assert drawn.shape == (300_001,)
    spread = np.random.default_rng(0).uniform(-0.5, 0.5, drawn.size)  # what rounding took
    assert kstest((drawn + spread) / 1000.0, "norm").pvalue > 0.01
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 4 / np.sqrt(drawn.size)
    halves = drawn[:300_000].reshape(-1, 2)
    assert abs(np.corrcoef(halves.T)[0, 1]) < 4 / np.sqrt(len(halves))


def test_normals_reach_as_far_as_normals_do() -> None:
    drawn = np.abs(SecureNoise(KEY).normals(1 << 22, 1 << 20)) / (1 << 20)
    assert 4.7 < drawn.max() < 6.5
    assert binomtest(int((drawn > 3.0).sum()), drawn.size, 0.0026998).pvalue > 0.01


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.9])
def test_each_is_taken_by_itself_at_the_rate(rate: float) -> None:
    noise = SecureNoise(KEY)
    taken = np.zeros((400, 500), np.bool_)
    for row in taken:
        row[noise.sample(500, rate)] = True
    assert binomtest(int(taken.sum()), taken.size, rate).pvalue > 0.01
    sizes = taken.sum(axis=1)
    assert sizes.var() == pytest.approx(500 * rate * (1 - rate), rel=0.3)
    assert abs(np.corrcoef(taken[:, 0], taken[:, 1])[0, 1]) < 4 / np.sqrt(len(taken))


def test_all_and_nobody_can_be_taken() -> None:
    noise = SecureNoise(KEY)
    assert np.array_equal(noise.sample(9, 1.0), np.arange(9))
    assert noise.sample(0, 0.5).size == 0
    assert noise.normals(0, 1.0).size == 0


def test_no_two_have_the_same_numbers_unless_a_test_says_so() -> None:
    assert not np.array_equal(SecureNoise().words(4), SecureNoise().words(4))
    assert np.array_equal(SecureNoise(KEY).words(4), SecureNoise(KEY).words(4))
    once = SecureNoise(KEY)
    assert not np.array_equal(once.words(4), once.words(4))
