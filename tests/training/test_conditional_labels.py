"""Conditional labels in training, against loops over images and labels."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import ConfigError
from fedcxr.models.hierarchy import CHILDREN, PARENTS, log_probabilities
from fedcxr.models.registry import create_model
from fedcxr.models.runtime import Runtime
from fedcxr.training.loader import Loader
from fedcxr.training.objectives.bce import masked_bce
from fedcxr.training.objectives.hierarchy import (
    conditional_bce,
    implied_parents,
    label_loss,
    possible,
    whole_bce,
)
from fedcxr.training.trainer import train

MakeShard = Callable[..., Examples]
MakeConfig = Callable[..., Config]


def batch(count: int = 60) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, targets (hard and soft) and mask."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(count, 14, generator=generator)
    targets = torch.rand(count, 14, generator=generator)
    targets = torch.where(torch.rand(count, 14, generator=generator) < 0.6, targets.round(), targets)
    return logits, targets, torch.rand(count, 14, generator=generator) < 0.7


def test_a_finding_that_is_there_has_its_parent_there() -> None:
    _, targets, mask = batch()
    found, known = implied_parents(targets, mask)
    for image in range(len(targets)):
        for label in range(14):
            children = [c for c in CHILDREN if PARENTS[c] == label]
            present = [
                float(targets[image, c]) for c in children if mask[image, c] and targets[image, c] > 0.5
            ]
            own = float(targets[image, label]) if mask[image, label] else None
            assert bool(known[image, label]) == (own is not None or bool(present))
            if known[image, label]:
                expected = max([*present, *([] if own is None else [own])])
                assert float(found[image, label]) == expected


def test_an_absent_parent_leaves_nothing_to_be_said_of_its_children() -> None:
    _, targets, mask = batch()
    left = possible(targets, mask)
    for image in range(len(targets)):
        for label, parent in enumerate(PARENTS):
            absent = parent >= 0 and bool(mask[image, parent]) and float(targets[image, parent]) <= 0.5
            assert bool(left[image, label]) == (not absent)


def test_the_conditional_loss_is_that_of_what_is_known_of_the_parent() -> None:
    logits, targets, mask = batch()
    targets, mask = implied_parents(targets, mask)
    counted = mask & possible(targets, mask)
    total, count, products = 0.0, 0, 0
    for image in range(len(targets)):
        for label, parent in enumerate(PARENTS):
            if not mask[image, label]:
                continue
            p = float(logits[image, label].double().sigmoid())
            if parent >= 0 and not mask[image, parent]:
                p *= float(logits[image, parent].double().sigmoid())
                products += 1
            elif parent >= 0 and float(targets[image, parent]) <= 0.5:
                continue
            t = float(targets[image, label])
            total -= t * math.log(p) + (1 - t) * math.log(1 - p)
            count += 1
    assert products > 5
    assert float(conditional_bce(logits, targets, counted)) == pytest.approx(total / count, rel=1e-4)


def test_findings_that_are_reported_one_by_one_keep_their_negatives() -> None:
    """Where no report names a parent, a child's probability must not come to rest at 1."""
    cardiomegaly, parent = 2, PARENTS[2]
    targets, mask = torch.zeros(100, 14), torch.zeros(100, 14, dtype=torch.bool)
    targets[:10, cardiomegaly] = 1.0
    mask[:, cardiomegaly] = True
    targets, mask = implied_parents(targets, mask)
    logits = torch.zeros(14, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(500):
        optimizer.zero_grad()
        loss = conditional_bce(logits.expand(100, 14), targets, mask & possible(targets, mask))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    said = log_probabilities(logits.detach()[None])[0].exp()
    assert float(said[cardiomegaly]) == pytest.approx(0.1, abs=0.03)
    assert said[cardiomegaly] <= said[parent]


def test_the_whole_loss_is_that_of_the_products() -> None:
    logits, targets, mask = batch()
    total, count = 0.0, 0
    for image in range(len(targets)):
        for label, parent in enumerate(PARENTS):
            if mask[image, label]:
                p = float(logits[image, label].double().sigmoid())
                p *= float(logits[image, parent].double().sigmoid()) if parent >= 0 else 1.0
                t = float(targets[image, label])
                total -= t * math.log(p) + (1 - t) * math.log(1 - p)
                count += 1
    assert float(whole_bce(logits, targets, mask)) == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize("size", [-200.0, 200.0])
def test_the_whole_loss_and_its_gradient_stay_finite(size: float) -> None:
    logits = torch.full((2, 14), size, requires_grad=True)
    for target in (0.0, 1.0):
        loss = whole_bce(logits, torch.full((2, 14), target), torch.ones(2, 14, dtype=torch.bool))
        (gradient,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_nothing_known_is_a_loss_of_zero() -> None:
    logits = torch.zeros(2, 14, requires_grad=True)
    targets, mask = torch.full((2, 14), torch.nan), torch.zeros(2, 14, dtype=torch.bool)
    loss = whole_bce(logits, targets, mask)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert float(loss.detach()) == 0
    assert not gradient.any()


def test_models_are_compared_by_what_they_say_in_the_end() -> None:
    logits, targets, mask = batch()
    assert torch.equal(label_loss(logits, targets, mask, "flat"), masked_bce(logits, targets, mask))
    expected = whole_bce(logits, *implied_parents(targets, mask))
    assert torch.equal(label_loss(logits, targets, mask, "conditional"), expected)


def labelled(examples: Examples) -> Examples:
    """All labels known, drawn at random: children without their parents among them."""
    generator = np.random.default_rng(0)
    targets = (generator.random(examples.targets.shape) < 0.4).astype(np.float32)
    return Examples(examples.images, examples.rows, targets, np.ones_like(examples.mask))


def with_labels(config: Config, **more: object) -> Config:
    changes = {"model.labels": "conditional", **{f"training.{k}": v for k, v in more.items()}}
    return config.with_changes(changes)


def test_batches_come_with_what_counts_of_them(shard: MakeShard, make_config: MakeConfig) -> None:
    config, examples = with_labels(make_config(accumulate=3)), labelled(shard(20))
    options = {"views": 1, "clean": False, "positives": "views", "where": (1, "north"), "epochs": 1}
    runtime = Runtime.from_config(config.training)
    parts = next(iter(Loader(examples, config=config, runtime=runtime, **options)))  # type: ignore[arg-type]
    assert sum(part.share["counted"] for part in parts) == pytest.approx(1.0)
    for part in parts:
        targets, mask = implied_parents(part.targets, part.mask)
        assert torch.equal(targets, part.targets)
        assert torch.equal(part.counted, mask & possible(targets, mask))
        assert torch.equal(part.open, ~mask & possible(targets, mask))
        assert (~part.counted).any()
    whole = with_labels(config, hierarchy="whole")
    for part in next(iter(Loader(examples, config=whole, runtime=runtime, **options))):  # type: ignore[arg-type]
        assert torch.equal(part.counted, part.mask)


def test_the_two_stages_are_two_runs(shard: MakeShard, make_config: MakeConfig) -> None:
    """Conditional training, then the classifier alone on the probabilities of all images."""
    first = with_labels(make_config(self_supervised="none", learning_rate=5e-3))
    examples = labelled(shard(40))
    model = create_model(first.model, seed=0)
    train(model, examples, config=first, round_index=1, hospital="north")
    second = with_labels(first, hierarchy="whole", strategy="selective", train=["classifier"])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    losses = [
        train(model, examples, config=second, round_index=number, hospital="north").loss
        for number in (1, 2, 3)
    ]
    assert losses[-1] < losses[0]
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}
    assert moved == {"classifier.weight", "classifier.bias"}


def test_the_whole_loss_is_not_for_flat_labels(make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"training\.hierarchy = 'whole' is for"):
        make_config(hierarchy="whole")
