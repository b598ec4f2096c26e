"""The AUC margin loss against the sum over pairs that it stands for, and what a hospital keeps of it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import ConfigError
from fedcxr.models.registry import create_model
from fedcxr.training.objectives.auc_margin import MARGIN, ClassMeans, auc_margin, class_shares
from fedcxr.training.trainer import TrainingReport, train

MakeShard = Callable[..., Examples]
MakeConfig = Callable[..., Config]


def class_means(scores: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Exact ones of a batch of 0s and 1s, NaN for a class that it has not."""
    return torch.stack(
        [
            torch.stack([scores[mask[:, k] & (targets[:, k] == c), k].mean() for k in range(scores.shape[1])])
            for c in (1, 0)
        ]
    )


def naive(scores: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Pair by pair, each label times p(1 − p) of its known images and the share that these are."""
    losses = []
    for k in range(scores.shape[1]):
        known = mask[:, k]
        positive, negative = scores[known & (targets[:, k] == 1), k], scores[known & (targets[:, k] == 0), k]
        if len(positive) == 0 or len(negative) == 0:
            continue
        p = len(positive) / int(known.sum())
        pairs = (MARGIN - positive.unsqueeze(1) + negative.unsqueeze(0)).square().mean()
        losses.append(p * (1 - p) * known.float().mean() * pairs)
    return torch.stack(losses).mean() if losses else scores.sum() * 0.0


def drawn(count: int, labels: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(count, labels, generator=generator, dtype=torch.float32)
    targets = (torch.rand(count, labels, generator=generator) < 0.4).float()
    mask = torch.rand(count, labels, generator=generator) < 0.8
    return scores, targets.masked_fill(~mask, float("nan")), mask


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 24), st.integers(1, 5), st.integers(0, 2**31))
def test_with_a_batchs_own_means_it_is_the_mean_over_pairs(count: int, labels: int, seed: int) -> None:
    scores, targets, mask = drawn(count, labels, seed)
    means = class_means(scores, targets, mask).nan_to_num(0.5)
    values, slopes = [], []
    for loss in (
        lambda own: naive(own, targets, mask),
        lambda own: auc_margin(own, targets, mask, shares=class_shares(targets, mask), means=means),
    ):
        own = scores.clone().requires_grad_()
        value = loss(own)
        value.backward()  # type: ignore[no-untyped-call]
        values.append(value.item())
        slopes.append(own.grad)
    assert values[1] == pytest.approx(values[0], rel=1e-4, abs=1e-6)
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-4, atol=1e-6)


def test_classes_beyond_the_margin_are_not_driven_on() -> None:
    """Their spread alone counts; pairs would go on paying for a distance that is there."""
    scores = torch.tensor([[1.2], [1.6], [0.0], [0.2]], requires_grad=True)
    targets, mask = torch.tensor([[1.0], [1.0], [0.0], [0.0]]), torch.ones(4, 1, dtype=torch.bool)
    means = torch.tensor([[1.4], [0.1]])
    loss = auc_margin(scores, targets, mask, shares=class_shares(targets, mask), means=means)
    assert loss.item() == pytest.approx(0.25 * (0.2**2 + 0.1**2))
    loss.backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad.sum(), torch.tensor(0.0))


def test_a_soft_target_is_part_positive_and_part_negative() -> None:
    scores, mask = torch.tensor([[0.7], [0.2], [0.9]]), torch.ones(3, 1, dtype=torch.bool)
    soft = torch.tensor([[0.75], [0.0], [1.0]])
    shares, means = class_shares(soft, mask), torch.tensor([[0.6], [0.3]])
    ends = [
        auc_margin(scores, torch.tensor([[first], [0.0], [1.0]]), mask, shares=shares, means=means)
        for first in (0.75, 1.0, 0.0)
    ]
    assert float(ends[0]) == pytest.approx(0.75 * float(ends[1]) + 0.25 * float(ends[2]))


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_a_label_of_one_class_has_no_pairs(target: float) -> None:
    scores = torch.rand(6, 2).requires_grad_()
    targets = torch.full((6, 2), target)
    mask = torch.ones(6, 2, dtype=torch.bool)
    loss = auc_margin(
        scores, targets, mask, shares=class_shares(targets, mask), means=torch.full((2, 2), 0.5)
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert scores.grad is not None and not scores.grad.any()


def test_running_means_forget_what_is_long_ago_and_never_the_last_image() -> None:
    means = ClassMeans.unknowing(1, torch.device("cpu"))
    mask = torch.ones(64, 1, dtype=torch.bool)
    means.add(torch.full((64, 1), 0.9), torch.ones(64, 1), mask)
    for _ in range(400):  # 25,600 negatives in a row
        means.add(torch.full((64, 1), 0.1), torch.zeros(64, 1), mask)
    assert means.values.flatten().tolist() == pytest.approx([(0.5 + 64 * 0.9) / 65, 0.1], abs=0.02)
    assert means.counts.flatten().tolist() == pytest.approx([1.0, 1024], rel=0.05)
    means.add(torch.full((64, 1), 0.3), torch.ones(64, 1), mask)
    assert float(means.values[0, 0]) == pytest.approx(0.3, abs=0.02)


def run(
    config: Config, examples: Examples, rounds: int, **named: object
) -> tuple[torch.nn.Module, dict[str, torch.Tensor], list[TrainingReport]]:
    model, state = create_model(config.model, seed=0), {}  # type: ignore[var-annotated]
    reports = [
        train(model, examples, config=config, round_index=number, hospital="north", state=state)
        for number in range(1, rounds + 1)
    ]
    return model, state, reports


def separated(model: torch.nn.Module, examples: Examples) -> float:
    """The share of pairs in which the positive is above the negative."""
    images = torch.from_numpy(examples.images).unsqueeze(1).float() / 127.5 - 1.0
    with torch.no_grad():
        scores = model.eval()(images, project=False).logits[:, 0]
    positive = torch.from_numpy(examples.targets[:, 0] == 1)
    return float((scores[positive].unsqueeze(1) > scores[~positive].unsqueeze(0)).float().mean())


def test_it_learns_to_rank_a_visible_finding(shard: MakeShard, make_config: MakeConfig) -> None:
    config = make_config(label_loss="auc_margin", self_supervised="none", rounds=6, learning_rate=3e-3)
    model, _, reports = run(config, shard(160), 6)
    assert set(reports[0].terms) == {"auc_margin"}
    assert separated(model, shard(80, seed=1)) > 0.9


def test_its_means_are_kept_and_matter_to_the_next_round(shard: MakeShard, make_config: MakeConfig) -> None:
    config = make_config(label_loss="auc_margin", self_supervised="none", warmup_rounds=0.0)
    model, state, _ = run(config, shard(40), 1)
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == {
        "label_loss.sums": (2, 14),
        "label_loss.counts": (2, 14),
    }
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ends = []
    for memory in (dict(state), dict(state), {}):
        model.load_state_dict(weights)
        train(model, shard(40), config=config, round_index=2, hospital="north", state=memory)
        ends.append(torch.cat([tensor.flatten().double() for tensor in model.state_dict().values()]))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_in_parts_it_moves_the_weights_as_the_whole_batch_does(
    shard: MakeShard, make_config: MakeConfig
) -> None:
    examples = shard(48)
    examples = replace(examples, mask=np.random.default_rng(3).random((48, 14)) < 0.6)
    ends = []
    for accumulate in (1, 3):
        config = make_config(
            label_loss="auc_margin",
            self_supervised="none",
            norm="group",
            accumulate=accumulate,
            warmup_rounds=0.0,
        )
        model, state, reports = run(config, examples, 1)
        ends.append((model.state_dict(), state, reports[0].loss))
    assert ends[1][2] == pytest.approx(ends[0][2], rel=1e-4)
    for name, tensor in ends[0][0].items():
        torch.testing.assert_close(ends[1][0][name], tensor, rtol=1e-3, atol=2e-4, msg=name)
    for name, tensor in ends[0][1].items():
        torch.testing.assert_close(ends[1][1][name], tensor, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.labels": "conditional"}, r"model\.labels = 'flat'"),
        ({"validation.policy": "committee"}, "judges by cross-entropy"),
    ],
)
def test_what_it_does_not_go_with_is_said(
    make_config: MakeConfig, changes: dict[str, object], said: str
) -> None:
    config = make_config(label_loss="auc_margin")
    with pytest.raises(ConfigError, match=said):
        config.with_changes(changes)
