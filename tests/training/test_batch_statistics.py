"""Gathering moves BatchNorm's statistics to those of the hospital's images, and nothing else."""

import numpy as np
import pytest
import torch
from torch import nn

from fedcxr.config import Config, validate
from fedcxr.data.examples import Examples
from fedcxr.data.transforms import normalise, to_float
from fedcxr.errors import DataError
from fedcxr.models.registry import create_model
from fedcxr.training.batch_statistics import gather_statistics


@pytest.fixture
def config() -> Config:
    training = {"device": "cpu", "precision": "float32", "memory_format": "contiguous"}
    tree = {"name": "t", "data": {"root": "x", "size": 32}, "training": training}
    return validate({**tree, "model": {"name": "compact"}, "evaluation": {"batch_size": 64}}, where="test")


def examples(count: int) -> Examples:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 120, (count, 32, 32), dtype=np.uint8)
    targets = (rng.random((count, 14)) < 0.3).astype(np.float32)
    return Examples(images, np.arange(count, dtype=np.int64), targets, np.ones((count, 14), np.bool_))


def test_only_statistics_move_and_the_first_layers_are_those_of_its_input(config: Config) -> None:
    model = create_model(config.model, seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    shard = examples(64)
    report = gather_statistics(model, shard, config=config, round_index=4, hospital="north")
    moved = {name for name, t in model.state_dict().items() if not torch.equal(t, before[name])}
    assert moved
    assert all("running_" in name or "num_batches" in name for name in moved)
    assert report.passes == 64
    assert set(report.terms) == {"bce"}
    norm_name, norm = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d))
    inputs: list[torch.Tensor] = []
    handle = norm.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    with torch.no_grad():
        model.eval()(normalise(to_float(shard.images)), project=False)
    handle.remove()
    assert torch.allclose(norm.running_mean, inputs[0].mean((0, 2, 3)), atol=1e-5), norm_name
    assert norm.momentum == 0.1


def test_the_same_hospital_gives_the_same_bits_and_sees_a_bounded_sample(config: Config) -> None:
    states = []
    for _ in range(2):
        model = create_model(config.model, seed=0)
        report = gather_statistics(model, examples(1000), config=config, round_index=4, hospital="north")
        states.append(model.state_dict())
    assert 768 <= report.passes < 1000
    assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))


def test_a_decoders_statistics_are_gathered_too(config: Config) -> None:
    dual = config.with_changes({"model.name": "dual_stream", "model.streams": "autoencoder"})
    model = create_model(dual.model, seed=0)
    gather_statistics(model, examples(64), config=dual, round_index=4, hospital="north")
    seen = {name: norm for name, norm in model.named_modules() if isinstance(norm, nn.BatchNorm2d)}
    assert any(name.startswith("encoder.up.") for name in seen)
    for name, norm in seen.items():
        assert norm.num_batches_tracked == 1, name
        assert not norm.running_var.allclose(torch.ones(())), name


def test_a_single_image_is_refused(config: Config) -> None:
    with pytest.raises(DataError, match="hospital north, round 4: 1 images"):
        gather_statistics(
            create_model(config.model, seed=0), examples(1), config=config, round_index=4, hospital="north"
        )
