"""Start-up measurement and the trainer's benchmark."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import fedcxr.cli  # noqa: F401  registers the commands
from fedcxr.bench import alternatives
from fedcxr.bench import trainer as bench
from fedcxr.bench.trainer import bench_trainer
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.data.cache import ImageCache
from fedcxr.data.examples import Examples
from fedcxr.models.registry import build_model
from fedcxr.training import measure, preparation, trainer
from fedcxr.training.measure import noise_examples, resolve
from fedcxr.training.trainer import TrainingReport

MakeConfig = Callable[..., Config]


def test_every_auto_is_settled_by_the_fastest(make_config: MakeConfig) -> None:
    config = make_config(device="auto", precision="auto", memory_format="auto")
    resolved, measurements = resolve(config)
    assert resolved.resolved
    assert len(measurements) == 4
    chosen = [m for m in measurements if m.chosen]
    assert chosen == measurements[:1]
    assert (chosen[0].precision, chosen[0].memory_format) == (
        resolved.training.precision,
        resolved.training.memory_format,
    )
    rivals = [m for m in measurements if m.batch_size == chosen[0].batch_size]
    assert chosen[0].images_per_second == max(m.images_per_second for m in rivals)


def test_only_what_is_auto_changes(make_config: MakeConfig) -> None:
    config = make_config(memory_format="auto", precision="bfloat16")
    resolved, measurements = resolve(config)
    assert {m.precision for m in measurements} == {"bfloat16"}
    assert config.with_changes({"training.memory_format": resolved.training.memory_format}) == resolved


def test_pretraining_epochs_do_not_make_it_longer(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []

    def counted(*arguments: Any, **named: Any) -> TrainingReport:
        report = trainer.train(*arguments, **named)
        passes.append(report.passes)
        return report

    monkeypatch.setattr(measure, "train", counted)
    for epochs in (0, 10):
        measure.speed(make_config(pretrain=1, pretrain_epochs=epochs), 8, steps=2)
    assert passes == [16, 32, 16, 32]


def test_a_resolved_configuration_is_not_measured_again(make_config: MakeConfig) -> None:
    config = make_config()
    assert resolve(config) == (config, [])


def test_a_busy_machine_stops_measuring_and_takes_what_it_knows(make_config: MakeConfig) -> None:
    seconds = itertools.count(step=15)
    config = make_config(memory_format="auto", precision="auto")
    resolved, measurements = resolve(config, clock=lambda: float(next(seconds)))
    assert resolved.resolved
    assert [(m.precision, m.memory_format) for m in measurements if m.chosen] == [
        (resolved.training.precision, resolved.training.memory_format)
    ]
    assert len(measurements) == 2  # of four: the clock stood at 15, then at 30


def test_cuda_is_taken_where_it_is(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedcxr.training import measure

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(measure, "speed", lambda *_, **__: 1.0)
    resolved, measurements = resolve(make_config(device="auto"))
    assert resolved.training.device == "cuda"
    assert [m.device for m in measurements] == ["cuda"]


def test_the_benchmark_times_all_three_loops(make_config: MakeConfig) -> None:
    result = bench_trainer(make_config(), turns=2, steps=2)
    assert min(result.trainer, result.bare, result.default) > 0
    assert min(result.trainer_over_bare, result.trainer_over_default) > 0
    assert 0 < result.waiting < 1
    assert (result.turns, result.steps, result.batch_size, result.default_batch) == (2, 2, 16, 4)


def test_the_benchmark_trains_from_a_cache_on_the_disk_and_removes_it(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: set[Path] = set()

    def watched(model: nn.Module, examples: Examples, **named: Any) -> TrainingReport:
        assert isinstance(examples.images, np.memmap)
        assert examples.images.filename is not None
        folders.add(Path(examples.images.filename).parent)
        assert ImageCache.open(min(folders)).source.images == len(examples) == 32
        return trainer.train(model, examples, **named)

    monkeypatch.setattr(bench, "train", watched)
    bench_trainer(make_config(), turns=1, steps=2)
    assert len(folders) == 1
    assert not min(folders).exists()


def test_both_loops_of_the_benchmark_see_the_same_images(make_config: MakeConfig, tmp_path: Path) -> None:
    examples = noise_examples(make_config(), 8)
    assert np.array_equal(bench.cached(examples, tmp_path).images, examples.images)


@pytest.mark.parametrize("weight", [0.0, 0.2], ids=["labels alone", "joint"])
def test_the_bare_loop_does_the_trainers_arithmetic(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, weight: float
) -> None:
    """On one full batch without augmentation both end at the same weights: like is compared with like."""
    for module in (preparation, bench):
        monkeypatch.setattr(module, "augment", lambda images, *_: images)
    config = make_config(contrastive_weight=weight, warmup_rounds=0.0, min_learning_rate=1e-3)
    examples = noise_examples(config, 16)
    bare, trained = bench.BareLoop(config, examples), build_model(config.model)
    bare.turn()
    trainer.train(trained, examples, config=config, round_index=1, hospital="north")
    for name, tensor in bare.model.state_dict().items():
        torch.testing.assert_close(tensor, trained.state_dict()[name], rtol=1e-3, atol=1e-4, msg=name)


def test_an_alternative_has_its_speed_and_memory_or_says_why_not(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = alternatives._measure("configured", make_config(), 8)
    assert found.error == ""
    assert found.images_per_second is not None
    assert found.images_per_second > 0
    assert found.peak_bytes is not None
    assert found.peak_bytes > 2**26  # torch alone is more
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    absent = alternatives._measure("device = cuda", make_config(device="cuda"), 8)
    assert (absent.images_per_second, absent.peak_bytes) == (None, None)
    assert "no CUDA device" in absent.error
    checkpointed = make_config().with_changes({"model.checkpointing": True})
    refused = alternatives.measure_apart("compile = true", checkpointed, {"training.compile": True}, 8)
    assert (refused.images_per_second, refused.peak_bytes) == (None, None)
    assert "checkpointing" in refused.error


def test_bench_train_prints_figures_for_machines(make_config: MakeConfig, tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(make_config().to_toml())
    arguments = ["bench", "train", str(path), "--turns", "1", "--no-alternatives", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["trainer_over_bare"] > 0
    assert figures["chosen"]["memory_format"] == "channels_last"
