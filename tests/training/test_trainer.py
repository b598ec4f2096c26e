"""Local training: what it learns, what decides its bits, and what it refuses."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.data.transforms import normalise, to_float
from fedcxr.errors import ConfigError, DataError, NonFiniteError
from fedcxr.models.registry import create_model
from fedcxr.training.trainer import Step, TrainingReport, train

MakeShard = Callable[..., Examples]
MakeConfig = Callable[..., Config]


def bits(model: torch.nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


def trained(
    config: Config, examples: Examples, *, round_index: int = 1, hospital: str = "north"
) -> tuple[dict[str, bytes], TrainingReport]:
    model = create_model(config.model, seed=0)
    report = train(model, examples, config=config, round_index=round_index, hospital=hospital)
    return bits(model), report


@pytest.mark.parametrize("weight", [0.0, 0.1], ids=["labels alone", "joint"])
def test_a_visible_finding_is_learned(shard: MakeShard, make_config: MakeConfig, weight: float) -> None:
    config = make_config(learning_rate=1e-2, local_epochs=4, contrastive_weight=weight)
    model = create_model(config.model, seed=0)
    for round_index in (1, 2, 3):
        train(model, shard(256), config=config, round_index=round_index, hospital="north")
    unseen = shard(200, seed=1)
    with torch.no_grad():
        scores = model.eval()(normalise(to_float(unseen.images))).logits[:, 0].numpy()
    positive, negative = scores[unseen.targets[:, 0] == 1], scores[unseen.targets[:, 0] == 0]
    assert (positive[:, None] > negative[None, :]).mean() > 0.95  # the AUROC


def test_the_contrastive_term_falls_when_it_is_trained(shard: MakeShard, make_config: MakeConfig) -> None:
    config = make_config(learning_rate=1e-2, local_epochs=3, contrastive_weight=1.0, rounds=2)
    model = create_model(config.model, seed=0)
    first, second = (
        train(model, shard(128), config=config, round_index=r, hospital="north").terms["ntxent"]
        for r in (1, 2)
    )
    assert second < 0.9 * first


def test_the_same_seed_gives_the_same_bits_whatever_ran_before(
    shard: MakeShard, make_config: MakeConfig
) -> None:
    config = make_config()
    first, _ = trained(config, shard(40))
    trained(make_config(batch_size=7), shard(23, seed=5), round_index=2, hospital="south")
    torch.rand(11)
    assert trained(config, shard(40))[0] == first


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_semssxl_is_deterministic(shard: MakeShard, make_config: MakeConfig, precision: str) -> None:
    config = make_config(model="semssxl", precision=precision, batch_size=4)
    assert trained(config, shard(8))[0] == trained(config, shard(8))[0]


@pytest.mark.parametrize(
    "other", [{"round_index": 2}, {"hospital": "south"}], ids=["another round", "another hospital"]
)
def test_order_and_augmentation_belong_to_round_and_hospital(
    shard: MakeShard, make_config: MakeConfig, other: dict[str, int | str]
) -> None:
    config = make_config(warmup_rounds=0.0, min_learning_rate=1e-3)  # one rate for all rounds
    assert trained(config, shard(40))[0] != trained(config, shard(40), **other)[0]


def test_the_seed_of_the_run_decides_the_order(shard: MakeShard, make_config: MakeConfig) -> None:
    config = make_config()
    reseeded = config.with_changes({"seed": 1})
    assert trained(config, shard(40))[0] != trained(reseeded, shard(40))[0]


@pytest.mark.parametrize(("weight", "per_image"), [(0.1, 2), (0.0, 1)], ids=["joint", "labels alone"])
def test_image_passes_are_counted(
    shard: MakeShard, make_config: MakeConfig, weight: float, per_image: int
) -> None:
    config = make_config(contrastive_weight=weight, local_epochs=2)
    model = create_model(config.model, seed=0)
    seen: list[int] = []
    model.register_forward_hook(lambda _m, arguments, _o: seen.append(len(arguments[0])))
    report = train(model, shard(37), config=config, round_index=1, hospital="north")
    assert report.images == 37
    assert report.passes == sum(seen) == 37 * 2 * per_image
    assert report.steps == len(seen) == 2 * 3


def test_without_contrast_the_projection_head_stays_as_it_was(
    shard: MakeShard, make_config: MakeConfig
) -> None:
    config = make_config(contrastive_weight=0.0)
    before = bits(create_model(config.model, seed=0))
    after, report = trained(config, shard(40))
    changed = {name for name in before if before[name] != after[name]}
    assert not any(name.startswith("projection.") for name in changed)
    assert "classifier.weight" in changed
    assert set(report.terms) == {"bce"}


def test_the_reported_loss_is_the_joint_objective(shard: MakeShard, make_config: MakeConfig) -> None:
    _, report = trained(make_config(contrastive_weight=0.3), shard(40))
    assert report.loss == pytest.approx(report.terms["bce"] + 0.3 * report.terms["ntxent"], rel=1e-5)
    assert report.seconds > 0


def test_every_step_is_shown(shard: MakeShard, make_config: MakeConfig) -> None:
    config = make_config(contrastive_weight=0.0)
    steps: list[Step] = []
    train(
        create_model(config.model, seed=0),
        shard(33),
        config=config,
        round_index=1,
        hospital="north",
        on_step=steps.append,
    )
    assert [(step.number, step.of, step.passes) for step in steps] == [(1, 3, 11), (2, 3, 22), (3, 3, 33)]


@pytest.mark.parametrize("count", [2, 3, 17], ids=["two images", "less than a batch", "one over a batch"])
def test_any_shard_of_two_images_or_more_trains(
    shard: MakeShard, make_config: MakeConfig, count: int
) -> None:
    for weight in (0.0, 0.1):
        _, report = trained(make_config(contrastive_weight=weight), shard(count))
        assert report.images == count


def test_a_shard_of_one_class_trains(shard: MakeShard, make_config: MakeConfig) -> None:
    examples = shard(20)
    _, report = trained(make_config(), replace(examples, targets=np.zeros_like(examples.targets)))
    assert np.isfinite(report.loss)


def test_a_shard_without_labels_still_contrasts(shard: MakeShard, make_config: MakeConfig) -> None:
    examples = shard(20)
    before = bits(create_model(make_config().model, seed=0))
    after, report = trained(make_config(), replace(examples, mask=np.zeros_like(examples.mask)))
    assert report.terms["bce"] == 0.0
    assert before["encoder.0.weight"] != after["encoder.0.weight"]
    assert before["classifier.bias"] == after["classifier.bias"]


def test_a_shard_without_labels_or_contrast_is_refused(shard: MakeShard, make_config: MakeConfig) -> None:
    examples = shard(20)
    unlabelled = replace(examples, mask=np.zeros_like(examples.mask))
    with pytest.raises(DataError, match="hospital north, round 1: 0 images have a usable label"):
        trained(make_config(contrastive_weight=0.0), unlabelled)


def test_where_only_labels_teach_images_without_one_are_left_out(
    shard: MakeShard, make_config: MakeConfig
) -> None:
    examples = shard(40)
    some = replace(examples, mask=examples.mask & (np.arange(40) % 4 == 0)[:, None])
    config = make_config(contrastive_weight=0.0, batch_size=10)
    few, told = trained(config, some)
    assert few == trained(config, some.labelled)[0]
    assert (told.images, told.passes, told.steps) == (40, 10, 1)
    assert trained(make_config(batch_size=10), some)[1].passes == 80


@pytest.mark.parametrize("count", [0, 1])
def test_a_shard_too_small_for_statistics_is_refused(
    shard: MakeShard, make_config: MakeConfig, count: int
) -> None:
    with pytest.raises(DataError, match=f"hospital north, round 1: {count} images"):
        trained(make_config(), shard(count))


def test_broken_weights_are_named(shard: MakeShard, make_config: MakeConfig) -> None:
    config = make_config()
    model = create_model(config.model, seed=0)
    with torch.no_grad():
        model.classifier.weight[3, 5] = float("nan")
    with pytest.raises(NonFiniteError, match=r"hospital north, round 1, step 1: classifier\.weight"):
        train(model, shard(40), config=config, round_index=1, hospital="north")


def test_a_loss_that_overflows_is_named_before_it_reaches_the_weights(
    shard: MakeShard, make_config: MakeConfig
) -> None:
    config = make_config(contrastive_weight=0.0)
    model = create_model(config.model, seed=0)
    examples = shard(40)
    examples.targets[:, 0] = np.inf
    with pytest.raises(NonFiniteError, match=r"step 1: the gradient of .* holds NaN or infinity"):
        train(model, examples, config=config, round_index=1, hospital="north")
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_an_unresolved_configuration_is_refused(shard: MakeShard, make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"training\.precision = 'auto'"):
        trained(make_config(precision="auto"), shard(8))


def test_cuda_is_refused_where_there_is_none(
    shard: MakeShard, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"training\.device = 'cuda'"):
        trained(make_config(device="cuda"), shard(8))


def test_the_process_is_left_as_it_was(shard: MakeShard, make_config: MakeConfig) -> None:
    config = make_config(threads=3)
    model = create_model(config.model, seed=0)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    during: set[int] = set()
    train(
        model,
        shard(8),
        config=config,
        round_index=1,
        hospital="north",
        on_step=lambda _: during.add(torch.get_num_threads()),
    )
    assert during == {3}
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.training
    assert all(parameter.is_contiguous() for parameter in model.parameters())


def test_threads_are_put_back_after_a_failure(shard: MakeShard, make_config: MakeConfig) -> None:
    config = make_config(threads=3)
    model = create_model(config.model, seed=0)
    threads = torch.get_num_threads()

    def fail(_: Step) -> None:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        train(model, shard(8), config=config, round_index=1, hospital="north", on_step=fail)
    assert torch.get_num_threads() == threads


def test_frozen_statistics_stay_through_a_round(shard: MakeShard, make_config: MakeConfig) -> None:
    from fedcxr.models.registry import build_model

    config = make_config(norm="frozen")
    model = build_model(config.model)
    before = bits(model)
    train(model, shard(40), config=config, round_index=1, hospital="north")
    after = bits(model)
    assert all(before[name] == after[name] for name in before if "running" in name)
    assert before["classifier.weight"] != after["classifier.weight"]
