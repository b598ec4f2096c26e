"""The momentum network, and the objective that asks it, against definitions written out by hand."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.models.registry import create_model
from fedcxr.models.runtime import Runtime
from fedcxr.training.loader import Loader
from fedcxr.training.objective import Objective
from fedcxr.training.phases import Phase
from fedcxr.training.preparation import Ready
from fedcxr.training.state_tensors import StateTensors
from fedcxr.training.teacher import Teacher
from fedcxr.training.trainer import train

MakeShard = Callable[..., Examples]
MakeConfig = Callable[..., Config]


def images(count: int = 12) -> Tensor:
    return torch.rand(count, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_the_teacher_is_the_average_of_its_students(make_config: MakeConfig) -> None:
    """A plain mean at first, then one that forgets; parameters and statistics alike."""
    student = create_model(make_config().model, seed=0)
    teacher = Teacher(student, momentum=0.7, state={})
    expected = {n: t.double() for n, t in student.state_dict().items() if t.is_floating_point()}
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 7):
        with torch.no_grad():
            for tensor in student.state_dict().values():
                if tensor.is_floating_point():
                    tensor.add_(torch.rand(tensor.shape, generator=generator))
        teacher.update()
        momentum = min(step / (step + 1), 0.7)
        for name, tensor in student.state_dict().items():
            if name in expected:
                expected[name] = momentum * expected[name] + (1 - momentum) * tensor.double()
    for name, tensor in teacher.model.state_dict().items():
        if name in expected:
            torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-6, msg=name)
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())


def test_what_the_teacher_says_of_an_image_does_not_depend_on_its_batch(make_config: MakeConfig) -> None:
    student = create_model(make_config().model, seed=0)
    teacher = Teacher(student, momentum=0.9, state={})
    seen = images()
    student.train()
    teacher.initialise_statistics(seen)
    together, alone = teacher(seen, project=True), teacher(seen[:1], project=True)
    torch.testing.assert_close(together.logits[:1], alone.logits)
    torch.testing.assert_close(together.projection[:1], alone.projection)
    assert not together.logits.requires_grad


def test_only_statistics_that_have_seen_nothing_are_given_some(make_config: MakeConfig) -> None:
    """A pretrained model's are worth more than one batch's."""
    seen = images()
    for trained in (False, True):
        student = create_model(make_config().model, seed=0).train()
        if trained:
            for _ in range(5):
                student(seen.flip(0) * 0.3, project=False)
        before = copy.deepcopy(student.state_dict())
        teacher = Teacher(student, momentum=0.9, state={})
        teacher.initialise_statistics(seen)
        changed = {n for n, t in student.state_dict().items() if not torch.equal(t, before[n])}
        assert bool({name for name in changed if "running" in name}) == (not trained)
        for name, tensor in teacher.model.state_dict().items():
            if "running" in name:
                assert torch.equal(tensor, student.state_dict()[name]), name


def several(make: MakeShard, count: int) -> Examples:
    """Random labels with gaps, one finding without a case, and two images a patient."""
    generator = np.random.default_rng(5)
    targets = (generator.random((count, 14)) < 0.3).astype(np.float32)
    targets[:, 3] = 0.0
    mask = generator.random((count, 14)) < 0.6
    return replace(make(count), targets=targets, mask=mask, patients=np.arange(count, dtype=np.int64) // 2)


def first_batch(examples: Examples, config: Config, runtime: Runtime, *, clean: bool) -> list[Ready]:
    """Two views of the first images of a round."""
    loader = Loader(
        examples,
        config=config,
        runtime=runtime,
        where=(1, "north"),
        epochs=1,
        views=2,
        clean=clean,
        positives=config.training.positives,
    )
    return next(iter(loader))


def cross_entropy(logit: Tensor, target: float) -> Tensor:
    p = logit.double().sigmoid()
    return -(target * p.log() + (1 - target) * (1 - p).log())


def by_hand(
    model: torch.nn.Module, teacher: torch.nn.Module, state: StateTensors, part: Ready, seen: Examples
) -> dict[str, Tensor]:
    """Each term image by image and pair by pair, in float64."""
    student = model(part.views, project=True)
    with torch.no_grad():
        taught = teacher(part.views, project=True)
    count = len(part)
    mask, targets = part.mask.tolist(), part.targets.tolist()
    known, unknown = [], []
    frequency = [float(seen.targets[seen.mask[:, k], k].mean()) for k in range(14)]
    for row in range(2 * count):
        for k in range(14):
            image, logit = row % count, student.logits[row, k]
            if mask[image][k]:
                known.append(cross_entropy(logit, targets[image][k]))
                continue
            p = float(taught.logits[[image, image + count], k].double().sigmoid().mean())
            f = frequency[k]
            if f in (0.0, 1.0):
                unknown.append(0.0 * logit)
                continue
            balanced = (p / f) / (p / f + (1 - p) / (1 - f))
            sure = max(balanced, 1 - balanced) >= 0.6
            unknown.append(cross_entropy(logit, p) if sure else 0.0 * logit)
    queries = torch.nn.functional.normalize(student.projection.double(), dim=1) / 0.1
    keys = torch.nn.functional.normalize(taught.projection.double(), dim=1)
    queue, whose = state["self_supervised.queue.rows"].double(), state["self_supervised.queue.owners"]
    owners = part.owners.repeat(2)
    losses = []
    for i in range(2 * count):
        strangers = sum((queries[i] @ q).exp() for q, w in zip(queue, whose, strict=True) if w != owners[i])
        own = [(queries[i] @ keys[j]).exp() for j in range(2 * count) if j != i and owners[j] == owners[i]]
        losses.append(torch.stack([-(s / (s + strangers)).log() for s in own]).mean())
    assert len({len(known), len(unknown), 0}) == 3
    return {
        "bce": torch.stack(known).mean(),
        "consistency": torch.stack(unknown).mean(),
        "moco": torch.stack(losses).mean(),
    }


def test_the_joint_objective_is_the_definitions_and_so_is_its_gradient(
    shard: MakeShard, make_config: MakeConfig
) -> None:
    config = make_config(
        self_supervised="moco",
        queue=24,
        positives="patient",
        contrastive_weight=0.3,
        consistency_weight=0.7,
        consistency_threshold=0.6,
        consistency_rampup=4.0,
        data={"uncertain": "ignore"},
    )
    examples = several(shard, 32)
    model, state = create_model(config.model, seed=0), {}  # type: ignore[var-annotated]
    train(model, examples, config=config, round_index=1, hospital="north", state=state)
    assert len(state["self_supervised.queue.rows"]) == 24
    model.train().zero_grad()
    twin, teacher = copy.deepcopy(model), create_model(config.model, seed=0).eval()
    with torch.no_grad():
        for name, tensor in teacher.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(state[f"teacher.{name}"])
    runtime, phase = Runtime.from_config(config.training), Phase.of(config, 2)
    parts = first_batch(examples, config, runtime, clean=False)
    expected = by_hand(twin, teacher, state, parts[0], examples)
    objective = Objective(model, examples, config=config, phase=phase, runtime=runtime, state=dict(state))
    found = objective.backward(parts, progress=1.0)
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-4), name
        assert value.item() > 0.01
    share = math.exp(-5 * (1 - 1 / 4) ** 2)
    joint = expected["bce"] + 0.3 * expected["moco"] + 0.7 * share * expected["consistency"]
    assert found["joint"].item() == pytest.approx(joint.item(), rel=1e-4)
    joint.backward()
    for (name, parameter), other in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert parameter.grad is not None
        assert other.grad is not None
        apart = (parameter.grad - other.grad).norm() / other.grad.norm()
        assert apart < 1e-3, f"{name}: {apart}"


def test_a_teacher_that_knows_only_how_frequent_a_finding_is_labels_nothing(
    shard: MakeShard, make_config: MakeConfig
) -> None:
    """It is sure of absence, and right most of the time; that is no reason to take its word."""
    config = make_config(consistency_weight=1.0, consistency_rampup=0.0, data={"uncertain": "ignore"})
    generator = np.random.default_rng(0)
    targets = (generator.random((64, 14)) < 0.05).astype(np.float32)
    targets[0] = 1.0
    examples = replace(shard(64), targets=targets, mask=generator.random((64, 14)) < 0.7)
    model = create_model(config.model, seed=0)
    with torch.no_grad():
        model.classifier.weight.zero_()
        known = torch.from_numpy(examples.mask)
        frequency = (torch.from_numpy(targets) * known).sum(0) / known.sum(0)
        model.classifier.bias.copy_(torch.logit(frequency))
    runtime, phase = Runtime.from_config(config.training), Phase.of(config, 1)
    objective = Objective(model.train(), examples, config=config, phase=phase, runtime=runtime, state={})
    assert (
        objective.backward(first_batch(examples, config, runtime, clean=True), progress=1.0)[
            "consistency"
        ].item()
        == 0.0
    )
