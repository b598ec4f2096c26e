"""The joint objective's terms against naive references."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcxr.training.objectives.bce import masked_bce
from fedcxr.training.objectives.ntxent import nt_xent


def naive_nt_xent(first: torch.Tensor, second: torch.Tensor, temperature: float) -> float:
    """Equation 1 of the SimCLR paper, pair by pair."""
    views = [row.double().numpy() for row in torch.cat([first, second])]
    count = len(first)

    def similarity(i: int, j: int) -> float:
        u, v = views[i], views[j]
        return float(u @ v / (np.linalg.norm(u) * np.linalg.norm(v)) / temperature)

    total = 0.0
    for i in range(2 * count):
        partner = (i + count) % (2 * count)
        others = sum(math.exp(similarity(i, k)) for k in range(2 * count) if k != i)
        total -= math.log(math.exp(similarity(i, partner)) / others)
    return total / (2 * count)


def naive_masked_bce(logits: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor) -> float:
    losses = []
    for image in range(len(logits)):
        for label in range(logits.shape[1]):
            if mask[image, label]:
                p = 1 / (1 + math.exp(-float(logits[image, label])))
                y = float(targets[image, label])
                losses.append(-(y * math.log(p) + (1 - y) * math.log(1 - p)))
    return sum(losses) / len(losses) if losses else 0.0


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 7), st.integers(2, 9), st.sampled_from([0.1, 0.2, 0.5, 1.0]), st.integers(0, 2**31))
def test_nt_xent_is_the_papers_equation(count: int, dimension: int, temperature: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, count, dimension, generator=generator)
    loss = nt_xent(first, second, temperature)
    assert float(loss) == pytest.approx(naive_nt_xent(first, second, temperature), rel=1e-4, abs=1e-5)


def test_nt_xent_falls_when_the_views_agree() -> None:
    first = torch.eye(8)
    assert nt_xent(first, first, 0.1) < 0.01 < nt_xent(first, first.roll(1, dims=0), 0.1)


def test_nt_xent_is_computed_in_float32() -> None:
    views = torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    low = nt_xent(views[0], views[1], 0.1)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, nt_xent(views[0].float(), views[1].float(), 0.1))


def test_nt_xent_refuses_views_of_different_batches() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        nt_xent(torch.zeros(4, 8), torch.zeros(3, 8), 0.1)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(0, 2**31))
def test_masked_bce_is_the_mean_over_known_labels(count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(count, 14, generator=generator)
    targets = torch.rand(count, 14, generator=generator)
    mask = torch.rand(count, 14, generator=generator) < 0.6
    loss = masked_bce(logits, targets, mask)
    assert float(loss) == pytest.approx(naive_masked_bce(logits, targets, mask), rel=1e-5, abs=1e-6)


def test_a_masked_label_does_not_reach_loss_or_gradient_even_as_nan() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    targets = torch.tensor([[1.0, float("nan"), 0.0], [0.0, 1.0, float("nan")]])
    mask = ~targets.isnan()
    masked_bce(logits, targets, mask).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[~mask] == 0).all()
    assert (logits.grad[mask] != 0).all()


def test_a_batch_without_labels_costs_nothing_and_moves_nothing() -> None:
    logits = torch.ones(2, 14, requires_grad=True)
    loss = masked_bce(logits, torch.ones(2, 14), torch.zeros(2, 14, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert (logits.grad == 0).all()
