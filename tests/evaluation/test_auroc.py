"""The AUROC kernel, against a naive count over pairs and against torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchmetrics.functional.classification import binary_auroc

from fedcxr.evaluation.auroc import LARGE, auroc, weighted_auroc


def over_pairs(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """The definition: the share of (positive, negative) pairs in order, a tie one half."""
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[positive] for n in scores[~positive]]
    return float(np.mean(pairs)) if pairs else None


cases = st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 3)), max_size=25)


@settings(deadline=None)
@given(cases)
def test_agrees_with_the_count_over_pairs_ties_included(case: list[tuple[int, bool, int]]) -> None:
    scores = np.array([score for score, _, _ in case]) / 6
    positive = np.array([is_positive for _, is_positive, _ in case], dtype=np.bool_)
    expected = over_pairs(scores, positive)
    found = auroc(scores, positive)
    assert (found is None) == (expected is None)
    if expected is not None:
        assert found == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(cases)
def test_a_weight_counts_as_that_many_copies(case: list[tuple[int, bool, int]]) -> None:
    scores = np.array([score for score, _, _ in case]) / 6
    positive = np.array([is_positive for _, is_positive, _ in case], dtype=np.bool_)
    weights = np.array([weight for _, _, weight in case], dtype=np.int32)
    both = np.stack([weights, np.ones_like(weights)], axis=1)
    found = weighted_auroc(scores, positive, both)
    for value, counts in zip(found, both.T, strict=True):
        expected = over_pairs(np.repeat(scores, counts), np.repeat(positive, counts))
        assert np.isnan(value) if expected is None else value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("steps", [4, 10_000], ids=["many ties", "hardly any"])
def test_agrees_with_torchmetrics(steps: int) -> None:
    generator = np.random.default_rng(3)
    scores = generator.integers(0, steps, 2000).astype(np.float32) / steps
    positive = generator.random(2000) < 0.1 + 0.3 * scores
    expected = float(binary_auroc(torch.from_numpy(scores), torch.from_numpy(positive).long()))
    assert auroc(scores, positive) == pytest.approx(expected, abs=1e-6)


def test_counts_of_a_large_set_do_not_overflow() -> None:
    half = 120_000  # half * half pairs are above 2 ** 31
    scores = np.concatenate([np.zeros(half), np.ones(half)])
    assert auroc(scores, scores == 1) == 1.0
    assert auroc(scores, scores == 0) == 0.0


def test_a_large_set_counts_as_a_small_one_does() -> None:
    """Above LARGE cases each weighting is counted by itself."""
    generator = np.random.default_rng(5)
    scores = generator.integers(0, 50, LARGE + 1) / 50
    positive = generator.random(LARGE + 1) < 0.2
    weights = generator.integers(0, 3, (LARGE + 1, 3)).astype(np.int32)
    weights[positive, 2] = 0
    found = weighted_auroc(scores, positive, weights)
    for value, counts in zip(found[:2], weights.T[:2], strict=True):
        chosen = torch.from_numpy(np.repeat(scores, counts)), torch.from_numpy(np.repeat(positive, counts))
        assert value == pytest.approx(float(binary_auroc(chosen[0], chosen[1].long())), abs=1e-6)
    assert np.isnan(found[2])
