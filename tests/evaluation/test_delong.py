"""DeLong's variance, against the definition by pairs and the jackknife, and its test, by its own size."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from fedcxr.evaluation.delong import covariance, delong_difference, delong_interval


def case(count: int, seed: int, steps: int = 20) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Two models that resemble each other, with many ties."""
    generator = np.random.default_rng(seed)
    positive = generator.random(count) < 0.35
    common = generator.normal(size=count) + positive
    scores = np.stack([common + 0.8 * generator.normal(size=count) for _ in range(2)])
    return np.round(scores * steps / 4) / steps, positive


def by_pairs(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """DeLong 1988, equations 3 to 7, with a term for every pair."""
    ones, zeros = scores[:, positive], scores[:, ~positive]
    kernel = (ones[:, :, None] > zeros[:, None]) + 0.5 * (ones[:, :, None] == zeros[:, None])
    return np.cov(kernel.mean(2)) / ones.shape[1] + np.cov(kernel.mean(1)) / zeros.shape[1]


@pytest.mark.parametrize("steps", [3, 20, 10**6])
def test_the_covariance_is_the_definitions_ties_included(steps: int) -> None:
    scores, positive = case(180, seed=1, steps=steps)
    found = covariance(scores, positive)
    assert found is not None
    assert found[0] == pytest.approx([roc_auc_score(positive, own) for own in scores], abs=1e-12)
    assert found[1] == pytest.approx(by_pairs(scores, positive), abs=1e-12)


def test_the_error_is_near_the_jackknifes() -> None:
    scores, positive = case(200, seed=2)
    left_out = np.array([roc_auc_score(np.delete(positive, k), np.delete(scores[0], k)) for k in range(200)])
    jackknife = np.sqrt(199 / 200 * ((left_out - left_out.mean()) ** 2).sum())
    found = delong_interval(scores[0], positive)
    assert found is not None
    assert found.error == pytest.approx(jackknife, rel=0.02)
    assert (found.low, found.high) == pytest.approx(stats.norm.interval(0.95, found.value, found.error))


def test_p_is_the_normal_tests_and_a_model_is_no_better_than_itself() -> None:
    scores, positive = case(200, seed=3)
    found = delong_difference(*scores, positive)
    assert found is not None
    assert found.p is not None
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.value) / found.error))
    back = delong_difference(*scores[::-1], positive)
    assert back is not None
    assert (back.value, back.p) == (-found.value, found.p)
    same = delong_difference(scores[0], scores[0], positive)
    assert same is not None
    assert (same.value, same.error, same.p) == (0, 0, 1)


def test_the_test_rejects_a_true_null_as_often_as_it_says() -> None:
    found = [delong_difference(*(args := case(150, seed=seed))[0], args[1]) for seed in range(400)]
    rejected = sum(one is not None and one.p is not None and one.p < 0.05 for one in found)
    assert 8 <= rejected <= 33  # 20 of 400, within three standard deviations


def test_one_case_of_a_class_shows_no_variance() -> None:
    assert delong_interval(np.arange(4.0), np.array([0, 0, 0, 1], dtype=bool)) is None
    perfect = delong_interval(np.arange(4.0), np.array([0, 0, 1, 1], dtype=bool))
    assert perfect is not None
    assert (perfect.value, perfect.error, perfect.high) == (1.0, 0.0, 1.0)
