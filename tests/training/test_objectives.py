"""The joint objective's terms against naive references."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcxr.training.objectives.bce import masked_bce
from fedcxr.training.objectives.byol import byol_regression
from fedcxr.training.objectives.consistency import pseudo_label_bce, ramp_up
from fedcxr.training.objectives.moco import info_nce
from fedcxr.training.objectives.ntxent import nt_xent
from fedcxr.training.objectives.positives import positive_pairs
from fedcxr.training.objectives.reconstruction import reconstruction_error
from fedcxr.training.objectives.supervised import label_similarity, supervised_contrastive
from fedcxr.training.objectives.swav import sinkhorn, swapped_prediction


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


def cosine(u: torch.Tensor, v: torch.Tensor) -> float:
    one, other = u.double(), v.double()
    return float(one @ other / (one.norm() * other.norm()))


def random_groups(count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(max(count // 2, 1), (count,), generator=generator)


def naive_positives(groups: torch.Tensor) -> list[list[int]]:
    both = [*groups.tolist(), *groups.tolist()]
    return [[j for j, g in enumerate(both) if g == both[i] and j != i] for i in range(len(both))]


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.integers(0, 2**31))
def test_nt_xent_with_groups_is_the_mean_over_each_rows_positives(count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, count, 5, generator=generator)
    groups = random_groups(count, generator)
    views, temperature = torch.cat([first, second]), 0.3
    total = 0.0
    for i, positives in enumerate(naive_positives(groups)):
        exps = [math.exp(cosine(views[i], v) / temperature) for v in views]
        below = sum(exps) - exps[i]
        total += sum(-math.log(exps[j] / below) for j in positives) / len(positives)
    found = nt_xent(first, second, temperature, groups)
    assert found.item() == pytest.approx(total / (2 * count), rel=1e-4, abs=1e-5)


def test_groups_of_one_image_are_the_views_alone_and_leave_a_finite_gradient() -> None:
    both = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    first, second = both
    alone = nt_xent(first, second, 0.1)
    torch.testing.assert_close(nt_xent(first, second, 0.1, torch.arange(6)), alone)
    nt_xent(first, second, 0.1, torch.zeros(6, dtype=torch.int64)).backward()
    assert both.grad is not None
    assert both.grad.isfinite().all()
    assert both.grad.abs().sum() > 0


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5), st.integers(0, 6), st.integers(0, 2**31))
def test_info_nce_is_mocos_equation_for_each_positive(count: int, held: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    queries, keys = torch.randn(2, 2 * count, 5, generator=generator)
    queue = torch.nn.functional.normalize(torch.randn(held, 5, generator=generator), dim=1)
    negatives = torch.rand(2 * count, held, generator=generator) < 0.7
    groups = random_groups(count, generator)
    total = 0.0
    for i, positives in enumerate(naive_positives(groups)):
        others = sum(math.exp(cosine(queries[i], queue[n]) / 0.2) for n in range(held) if negatives[i, n])
        for j in positives:
            alike = math.exp(cosine(queries[i], keys[j]) / 0.2)
            total -= math.log(alike / (alike + others)) / len(positives)
    queries.requires_grad_()
    found = info_nce(queries, keys, positive_pairs(groups), queue=queue, negatives=negatives, temperature=0.2)
    assert found.item() == pytest.approx(total / (2 * count), rel=1e-4, abs=1e-5)
    found.backward()
    assert queries.grad is not None
    assert torch.isfinite(queries.grad).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5), st.integers(0, 2**31))
def test_byol_regresses_on_each_positives_target(count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    predictions, targets = torch.randn(2, 2 * count, 5, generator=generator)
    groups = random_groups(count, generator)
    total = 0.0
    for i, positives in enumerate(naive_positives(groups)):
        total += sum(2 - 2 * cosine(predictions[i], targets[j]) for j in positives) / len(positives)
    found = byol_regression(predictions, targets, positive_pairs(groups))
    assert found.item() == pytest.approx(total / (2 * count), rel=1e-4, abs=1e-5)


def test_no_gradient_flows_into_the_momentum_networks_side() -> None:
    rows = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = rows.detach().clone().requires_grad_()
    pairs = positive_pairs(torch.arange(2))
    queue, all_of_it = torch.eye(5)[:3], torch.ones(4, 3, dtype=torch.bool)
    byol_regression(rows, targets, pairs).backward()
    info_nce(rows, targets, pairs, queue=queue, negatives=all_of_it, temperature=0.1).backward()
    assert targets.grad is None


def naive_sinkhorn(scores: np.ndarray, epsilon: float, iterations: int) -> np.ndarray:
    plan = np.exp(scores.astype(np.float64) / epsilon)
    for _ in range(iterations):
        plan = plan / plan.sum(axis=0, keepdims=True)
        plan = plan / plan.sum(axis=1, keepdims=True)
    return plan


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 8), st.integers(2, 6), st.integers(0, 2**31))
def test_sinkhorn_scales_columns_and_rows_in_turn(rows: int, prototypes: int, seed: int) -> None:
    scores = 2 * torch.rand(rows, prototypes, generator=torch.Generator().manual_seed(seed)) - 1
    expected = naive_sinkhorn(scores.numpy(), 0.05, 3)
    np.testing.assert_allclose(sinkhorn(scores).numpy(), expected, rtol=1e-4, atol=1e-6)


def test_sinkhorn_uses_all_prototypes_where_the_nearest_would_use_one() -> None:
    scores = torch.rand(64, 4, generator=torch.Generator().manual_seed(0)) * 0.2
    scores[:, 0] += 0.5
    assert (scores.argmax(1) == 0).all()
    codes = sinkhorn(scores, iterations=50)
    torch.testing.assert_close(codes.sum(0), torch.full((4,), 16.0), rtol=0.01, atol=0.01)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5), st.integers(0, 2**31))
def test_swapped_prediction_is_the_cross_entropy_with_the_other_views_codes(count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.rand(2 * count, 4, generator=generator) - 1
    codes = torch.softmax(torch.randn(2 * count, 4, generator=generator), dim=1)
    groups = random_groups(count, generator)
    total = 0.0
    for i, positives in enumerate(naive_positives(groups)):
        exps = [math.exp(float(s) / 0.1) for s in scores[i]]
        for j in positives:
            cross = -sum(float(q) * math.log(e / sum(exps)) for q, e in zip(codes[j], exps, strict=True))
            total += cross / len(positives)
    found = swapped_prediction(scores, codes, positive_pairs(groups), 0.1)
    assert found.item() == pytest.approx(total / (2 * count), rel=1e-4, abs=1e-5)


def naive_similarity(y: torch.Tensor, known: torch.Tensor, i: int, j: int) -> float:
    both = [k for k in range(y.shape[1]) if known[i, k] and known[j, k]]
    either = sum(max(float(y[i, k]), float(y[j, k])) for k in both)
    return sum(min(float(y[i, k]), float(y[j, k])) for k in both) / either if either else 0.0


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 7), st.booleans(), st.integers(0, 2**31))
def test_the_supervised_term_weighs_pairs_by_their_labels(count: int, soft: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, 5, generator=generator)
    targets = torch.rand(count, 4, generator=generator)
    targets = targets if soft else (targets < 0.4).float()
    mask = torch.rand(count, 4, generator=generator) < 0.7
    losses = []
    for i in range(count):
        weights = {j: naive_similarity(targets, mask, i, j) for j in range(count) if j != i}
        below = sum(math.exp(cosine(rows[i], rows[j]) / 0.2) for j in weights)
        if sum(weights.values()) > 0:
            terms = [-w * (cosine(rows[i], rows[j]) / 0.2 - math.log(below)) for j, w in weights.items() if w]
            losses.append(sum(terms) / sum(weights.values()))
    expected = sum(losses) / len(losses) if losses else 0.0
    hidden = targets.masked_fill(~mask, float("nan"))
    rows.requires_grad_()
    found = supervised_contrastive(rows, hidden, mask, 0.2)
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    found.backward()
    assert rows.grad is not None
    assert torch.isfinite(rows.grad).all()


def test_a_masked_label_makes_no_two_images_alike_or_unlike() -> None:
    targets = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    mask = torch.tensor([[True, True], [True, False]])
    assert float(label_similarity(targets, mask)[0, 1]) == 1.0
    assert float(label_similarity(targets, torch.ones_like(mask))[0, 1]) == 0.5
    assert float(label_similarity(targets, ~torch.ones_like(mask))[0, 1]) == 0.0


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.floats(0.5, 1.0, exclude_max=True), st.integers(0, 2**31))
def test_pseudo_labels_are_the_teachers_where_it_is_sure_and_nobody_else_is(
    count: int, threshold: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(count, 14, generator=generator)
    teacher = torch.rand(count, 14, generator=generator)
    mask = torch.rand(count, 14, generator=generator) < 0.5
    frequency = torch.rand(14, generator=generator)
    frequency[0], frequency[1], frequency[2] = 0.0, 1.0, torch.nan  # no case, nothing else, never known
    total, opened = 0.0, 0
    for i in range(count):
        for k in range(14):
            if mask[i, k]:
                continue
            opened += 1
            t, f = float(teacher[i, k]), float(frequency[k])
            if k < 3:
                continue
            even = (t / f) / (t / f + (1 - t) / (1 - f))
            if max(even, 1 - even) >= threshold:
                p = 1 / (1 + math.exp(-float(logits[i, k])))
                total -= t * math.log(p) + (1 - t) * math.log(1 - p)
    logits.requires_grad_()
    found = pseudo_label_bce(
        torch.nn.functional.logsigmoid(logits),
        teacher.log(),
        openly=~mask,
        frequency=frequency,
        threshold=threshold,
    )
    assert found.item() == pytest.approx(total / max(opened, 1), rel=1e-4, abs=1e-5)
    found.backward()
    assert logits.grad is not None
    assert (logits.grad[mask] == 0).all()


def test_the_ramp_rises_to_one_and_stays() -> None:
    ramp = [ramp_up(progress, 2.0) for progress in (0.0, 0.5, 1.0, 2.0, 9.0)]
    assert ramp == sorted(ramp)
    assert ramp[0] == pytest.approx(math.exp(-5))
    assert ramp[-2:] == [1.0, 1.0]
    assert ramp_up(0.0, 0.0) == 1.0


def test_reconstruction_is_the_mean_over_pixels_and_wants_one_shape() -> None:
    images, other = torch.zeros(2, 1, 3, 3), torch.full((2, 1, 3, 3), 0.5)
    assert float(reconstruction_error(other, images)) == 0.25
    with pytest.raises(ValueError, match="reconstruction of"):
        reconstruction_error(other[:, :, :2], images)
