"""What a round trains, what travels, and at which rates."""

from collections.abc import Callable

import pytest
import torch

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import ConfigError
from fedcxr.models.registry import create_model
from fedcxr.training import trainer
from fedcxr.training.optimizer import make_optimizer
from fedcxr.training.relative_gradients import relative_gradient_norms
from fedcxr.training.shared_tensors import federation_layout
from fedcxr.training.strategy import HEAD, ever_trained, trained_names, unit_of, units
from fedcxr.training.trainer import train

MakeShard = Callable[..., Examples]
MakeConfig = Callable[..., Config]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[torch.optim.Optimizer]:
    """The optimisers that the trainer makes, as it makes them."""
    kept: list[torch.optim.Optimizer] = []

    def noted(*arguments: object) -> torch.optim.Optimizer:
        kept.append(make_optimizer(*arguments))  # type: ignore[arg-type]
        return kept[-1]

    monkeypatch.setattr(trainer, "make_optimizer", noted)
    return kept


def moved(config: Config, examples: Examples, round_index: int = 1) -> set[str]:
    model = create_model(config.model, seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(model, examples, config=config, round_index=round_index, hospital="north")
    after = model.state_dict()
    assert all(parameter.requires_grad for parameter in model.parameters())
    return {name for name in before if not before[name].equal(after[name])}


def test_a_probe_moves_the_classifier_and_not_a_statistic_of_the_encoder(
    shard: MakeShard, make_config: MakeConfig
) -> None:
    config = make_config(strategy="probe", self_supervised="none")
    assert moved(config, shard(40)) == {"classifier.weight", "classifier.bias"}
    joint = make_config(strategy="probe")
    assert {name.split(".")[0] for name in moved(joint, shard(40))} == {"classifier", "projection"}


def test_selected_patterns_name_tensors_or_modules(shard: MakeShard, make_config: MakeConfig) -> None:
    config = make_config(strategy="selective", train=["classifier", "encoder.6.*"], self_supervised="none")
    names = {name for name in moved(config, shard(40)) if "num_batches" not in name}
    assert {unit_of(name) for name in names} == {HEAD, "encoder.6"}
    assert any("running_mean" in name for name in names)
    assert not any(name.startswith("projection") for name in names)
    unknown = make_config(strategy="selective", train=["encoder.block12"])
    with pytest.raises(ConfigError, match=r"'encoder.block12' matches no tensor .* encoder.6"):
        moved(unknown, shard(40))


@pytest.mark.parametrize("train", [["projection"], ["projection", "*.running_mean"]])
def test_selecting_what_no_loss_reaches_is_refused(make_config: MakeConfig, train: list[str]) -> None:
    alone = make_config(strategy="selective", train=train, self_supervised="none")
    model = create_model(alone.model, seed=0)
    with pytest.raises(ConfigError, match="no loss of round 1 reaches any of these"):
        trained_names(model, alone, 1)
    contrasted = make_config(strategy="selective", train=train, self_supervised="ntxent")
    assert any(name.startswith("projection.") for name in trained_names(model, contrasted, 1))


def test_a_decoder_learns_by_reconstruction_alone(make_config: MakeConfig) -> None:
    chosen = {
        "strategy": "selective",
        "train": ["autoencoder.up", "autoencoder.draw"],
        "model": "dual_stream",
    }
    drawing, idle = (make_config(**chosen, reconstruction_weight=weight) for weight in (0.5, 0.0))
    model = create_model(drawing.model, seed=0)
    assert trained_names(model, drawing, 1)
    with pytest.raises(ConfigError, match=r"a decoder by training\.reconstruction_weight"):
        trained_names(model, idle, 1)


def test_gradual_unfreezing_reaches_the_stem_in_the_last_round(make_config: MakeConfig) -> None:
    config = make_config(strategy="gradual", rounds=5, pretrain=1)
    model = create_model(config.model, seed=0)
    order = units(model)
    assert order[-1] == HEAD
    trained = [{unit_of(n) for n in trained_names(model, config, number)} for number in range(1, 6)]
    assert trained[0] == set(order), "pretraining trains everything"
    assert HEAD in trained[1]
    assert trained[1] < trained[2] < trained[3] < trained[4] == set(order)
    assert all(seen == set(order[-len(seen) :]) for seen in trained)


def test_the_units_of_xception_are_its_blocks(make_config: MakeConfig) -> None:
    model = create_model(make_config(model="semssxl").model, seed=0)
    found = units(model)
    assert found[:2] == ["encoder.conv1", "encoder.bn1"]
    assert [unit for unit in found if "block" in unit] == [f"encoder.block{i}" for i in range(1, 13)]
    assert found[-1] == HEAD


def test_a_probe_of_semssxl_moves_what_makes_logits_and_not_the_features(make_config: MakeConfig) -> None:
    config = make_config(model="semssxl", strategy="probe", self_supervised="none")
    names = trained_names(create_model(config.model, seed=0), config, 1)
    assert names == {"classifier.weight", "classifier.bias", "scales.evidence.weight"}


def test_pretraining_has_one_rate_for_all(
    shard: MakeShard, make_config: MakeConfig, made: list[torch.optim.Optimizer]
) -> None:
    """Auto-RGN is a way to fine-tune."""
    config = make_config(strategy="auto_rgn", pretrain=1)
    model = create_model(config.model, seed=0)
    for number in (1, 2):
        train(model, shard(40), config=config, round_index=number, hospital="north")
    scales = [{group["scale"] for group in optimizer.param_groups} for optimizer in made]
    assert scales[0] == {1.0}
    assert len(scales[1]) > 2


@pytest.mark.parametrize("strategy", ["full", "gradual", "auto_rgn"])
def test_what_some_round_trains_travels(make_config: MakeConfig, strategy: str) -> None:
    config = make_config(strategy=strategy)
    model = create_model(config.model, seed=0)
    assert ever_trained(model, config) == frozenset(model.state_dict())
    layout = federation_layout(model, config)
    assert layout.frozen == ""
    assert layout == federation_layout(model, make_config())


def test_a_probe_after_pretraining_has_an_encoder_that_travels(make_config: MakeConfig) -> None:
    config = make_config(strategy="probe", pretrain=1)
    model = create_model(config.model, seed=0)
    assert federation_layout(model, config).frozen == ""
    alone = make_config(strategy="probe", self_supervised="none")
    assert {spec.name for spec in federation_layout(model, alone).tensors} == {
        "classifier.weight",
        "classifier.bias",
    }


def test_relative_gradient_norms_are_each_units_over_the_largest() -> None:
    model = torch.nn.ModuleDict(
        {
            "encoder": torch.nn.ModuleDict(
                {"block1": torch.nn.Linear(3, 3), "block2": torch.nn.Linear(3, 3)}
            ),
            "classifier": torch.nn.Linear(3, 2),
        }
    )
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    model["encoder"]["block1"].weight.grad = None  # type: ignore[index]
    model["encoder"]["block1"].bias.grad = None  # type: ignore[index]
    expected = {}
    for unit, module in (("encoder.block2", model["encoder"]["block2"]), (HEAD, model["classifier"])):  # type: ignore[index]
        gradient = sum(float(p.grad.double().square().sum()) for p in module.parameters())
        weight = sum(float(p.detach().double().square().sum()) for p in module.parameters())
        expected[unit] = (gradient / weight) ** 0.5
    largest = max(expected.values())
    found = relative_gradient_norms(model)
    assert found.keys() == expected.keys()
    for unit, value in expected.items():
        assert found[unit] == pytest.approx(value / largest, rel=1e-5)


def test_auto_rgn_scales_the_schedules_rate_for_each_unit(
    shard: MakeShard, make_config: MakeConfig, made: list[torch.optim.Optimizer]
) -> None:
    config = make_config(strategy="auto_rgn")
    model = create_model(config.model, seed=0)
    report = train(model, shard(40), config=config, round_index=1, hospital="north")
    (optimizer,) = made
    scales = {group["unit"]: group["scale"] for group in optimizer.param_groups}
    assert set(scales) == set(units(model))
    assert max(scales.values()) == 1.0
    assert min(scales.values()) < 0.9
    (rate,) = {group["lr"] / group["scale"] for group in optimizer.param_groups if group["scale"] == 1.0}
    for group in optimizer.param_groups:
        assert group["lr"] == pytest.approx(rate * group["scale"])
    assert report.steps == 3
