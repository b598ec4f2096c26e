"""A batch in parts: label loss and gradient are the whole batch's; and the loader that reads ahead."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import DataError
from fedcxr.models.registry import create_model
from fedcxr.models.runtime import Runtime
from fedcxr.training.batches import read_batch
from fedcxr.training.loader import Loader
from fedcxr.training.preparation import Preparation
from fedcxr.training.trainer import train

MakeShard = Callable[..., Examples]
MakeConfig = Callable[..., Config]


def gaps(examples: Examples) -> Examples:
    """Labels of which about half are masked, unevenly over images."""
    generator = np.random.default_rng(3)
    share = generator.random((len(examples), 1))
    return replace(examples, mask=generator.random((len(examples), 14)) < share)


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_in_parts_the_label_loss_moves_the_weights_as_the_whole_batch_does(
    shard: MakeShard, make_config: MakeConfig, parts: int
) -> None:
    """Without BatchNorm, whose statistics are of the part, the arithmetic is the same."""
    ends, losses = [], []
    for accumulate in (1, parts):
        config = make_config(self_supervised="none", norm="group", accumulate=accumulate, warmup_rounds=0.0)
        model = create_model(config.model, seed=0)
        report = train(model, gaps(shard(48)), config=config, round_index=1, hospital="north")
        ends.append(model.state_dict())
        losses.append(report.loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for name, tensor in ends[0].items():
        torch.testing.assert_close(ends[1][name], tensor, rtol=1e-3, atol=2e-4, msg=name)


def loader(examples: Examples, config: Config, **changes: object) -> Loader:
    settings = {
        "views": 2,
        "clean": True,
        "positives": "views",
        "where": (1, "north"),
        "epochs": 1,
        **changes,
    }
    return Loader(examples, config=config, runtime=Runtime.from_config(config.training), **settings)  # type: ignore[arg-type]


def test_parts_make_up_the_batch_and_share_its_labels(shard: MakeShard, make_config: MakeConfig) -> None:
    examples = gaps(shard(32))
    whole = [batch[0] for batch in loader(examples, make_config())]
    cut = list(loader(examples, make_config(accumulate=3)))
    for one, parts in zip(whole, cut, strict=True):
        assert [len(part) for part in parts] == [5, 5, 6]
        first = torch.cat([part.views.chunk(2)[0] for part in parts])
        assert torch.equal(first, one.views.chunk(2)[0])
        assert torch.equal(torch.cat([part.clean for part in parts]), one.clean)  # type: ignore[arg-type]
        assert torch.equal(torch.cat([part.targets for part in parts]), one.targets)
        for share in ("images", "counted", "open"):
            assert sum(part.share[share] for part in parts) == pytest.approx(1.0)


def test_batches_come_ready_from_one_thread_in_one_order(shard: MakeShard, make_config: MakeConfig) -> None:
    examples, config = shard(64), make_config()
    ran, seen = loader(examples, config, epochs=2), []
    for batch in ran:
        seen.append(batch[0].views)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]
    again = [batch[0].views for batch in loader(examples, config, epochs=2)]
    assert len(seen) == 8
    assert all(torch.equal(one, other) for one, other in zip(seen, again, strict=True))
    assert ran.waited > 0


def test_an_error_in_the_loader_is_the_trainers(shard: MakeShard, make_config: MakeConfig) -> None:
    broken = replace(shard(32), rows=np.arange(32) + 7)
    with pytest.raises(IndexError):
        train(
            create_model(make_config().model, seed=0),
            broken,
            config=make_config(),
            round_index=1,
            hospital="north",
        )


def test_positives_of_patients_want_to_know_them(shard: MakeShard, make_config: MakeConfig) -> None:
    with pytest.raises(DataError, match="nobody said which images are of one patient"):
        loader(shard(16), make_config(), positives="patient")


def test_the_same_bits_whether_the_next_batch_is_early_or_late(
    shard: MakeShard, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    config, ends = make_config(local_epochs=2), []
    original = Preparation.ready
    for delay in (0.0, 0.02):

        def slow(self: Preparation, indices: np.ndarray, parts: int, delay: float = delay) -> object:
            time.sleep(delay)
            return original(self, indices, parts)

        monkeypatch.setattr(Preparation, "ready", slow)
        model = create_model(config.model, seed=0)
        train(model, shard(40), config=config, round_index=1, hospital="north")
        ends.append(model.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_the_loader_takes_one_thread_and_leaves_the_trainer_its_own(
    shard: MakeShard, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []

    def watched(*arguments: Any) -> Any:
        counted.append((threading.current_thread().name, torch.get_num_threads()))
        return read_batch(*arguments)

    monkeypatch.setattr("fedcxr.training.preparation.read_batch", watched)
    config = make_config()
    runtime = Runtime.from_config(config.training.model_copy(update={"threads": 2}))
    with runtime.settings():
        for _ in loader(shard(64), config):
            assert torch.get_num_threads() == 2
    assert {count for _, count in counted} == {1}
    assert all(name.startswith("loader") for name, _ in counted)
