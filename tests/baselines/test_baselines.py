"""Baselines: the federation's budget, continued after a kill, compared on one validation set."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from discs import EDEMA, disc_config, disc_shards, disc_valid

from fedcxr.baselines.baselines import Baselines
from fedcxr.baselines.training import pool, train_rounds, weights_path
from fedcxr.data.examples import Examples
from fedcxr.errors import DataError, StoreError
from fedcxr.evaluation.comparison import Kind
from fedcxr.models.registry import create_model
from fedcxr.training.trainer import Step, train

SIZES = {"north": 40, "south": 24}


class KilledError(Exception):
    """Stands for a process that ends."""


def test_goes_through_the_federations_rounds_from_its_starting_weights(tmp_path: Path) -> None:
    config, shard = disc_config(), disc_shards(SIZES)["north"]
    model, done = train_rounds(shard, config=config, name="north", path=tmp_path / "w.safetensors")
    expected = create_model(config.model, seed=config.seed)
    for round_index in (1, 2, 3):
        train(expected, shard, config=config, round_index=round_index, hospital="north")
    assert all(torch.equal(model.state_dict()[k], v) for k, v in expected.state_dict().items())
    assert (done.rounds, done.passes) == (3, 3 * 2 * 40)  # rounds, views, images


def test_the_pool_has_the_federations_image_passes(tmp_path: Path) -> None:
    config, shards = disc_config({"federation.rounds": 2}), disc_shards(SIZES)
    pooled = pool(shards)
    assert (pooled.rows == np.arange(64)).all()
    for shard in shards.values():
        assert (pooled.targets[shard.rows] == shard.targets).all()
        assert (pooled.mask[shard.rows] == shard.mask).all()
    _, together = train_rounds(pooled, config=config, name="pooled", path=tmp_path / "p.safetensors")
    apart = [
        train_rounds(shard, config=config, name=name, path=weights_path(tmp_path, name, pooled=False))[1]
        for name, shard in shards.items()
    ]
    assert together.passes == sum(done.passes for done in apart)


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"training.self_supervised": "moco", "training.queue": 16},
        {"training.self_supervised": "byol", "federation.pretrain_rounds": 2},
    ],
    ids=["ntxent", "moco", "byol first"],
)
def test_an_interrupted_baseline_ends_bit_identical(tmp_path: Path, terms: dict[str, object]) -> None:
    """With whatever a hospital would keep between rounds: momentum network, queue, predictor."""
    config, shard = disc_config(terms), disc_shards(SIZES)["north"]
    whole, _ = train_rounds(shard, config=config, name="north", path=tmp_path / "whole.safetensors")
    path, trained = tmp_path / "w.safetensors", []

    def kill(round_index: int, step: Step) -> None:
        if round_index == 3:
            raise KilledError

    with pytest.raises(KilledError):
        train_rounds(shard, config=config, name="north", path=path, on_step=kill)
    model, done = train_rounds(
        shard, config=config, name="north", path=path, on_step=lambda number, _: trained.append(number)
    )
    assert set(trained) == {3}
    assert done.passes == 3 * 2 * 40
    assert all(torch.equal(model.state_dict()[k], v) for k, v in whole.state_dict().items())
    again, _ = train_rounds(shard, config=config, name="north", path=path)
    assert all(torch.equal(again.state_dict()[k], v) for k, v in whole.state_dict().items())


@pytest.mark.parametrize("change", ["configuration", "examples", "damage", "name"])
def test_weights_of_something_else_are_not_continued(
    tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    config, shards = disc_config({"federation.rounds": 1}), disc_shards(SIZES)
    path = tmp_path / "w.safetensors"
    train_rounds(shards["north"], config=config, name="north", path=path)
    other = config.with_changes({"seed": 1}) if change == "configuration" else config
    if change == "damage":
        path.write_bytes(path.read_bytes()[:1000])
    trained: list[int] = []
    with caplog.at_level(logging.WARNING):
        train_rounds(
            shards["south" if change == "examples" else "north"],
            config=other,
            name="west" if change == "name" else "north",
            path=path,
            on_step=lambda number, _: trained.append(number),
        )
    assert trained
    assert "beginning anew" in caplog.text


def test_weights_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config, shard = disc_config({"federation.rounds": 1}), disc_shards(SIZES)["north"]
    with pytest.raises(StoreError, match="cannot be written"):
        train_rounds(shard, config=config, name="north", path=tmp_path / "file" / "w.safetensors")


def test_a_hospital_of_any_name_has_a_file_of_its_own(tmp_path: Path) -> None:
    names = ["pooled", "../x", "a/b", "a%2Fb", "..", "ä"]
    paths = {weights_path(tmp_path, name, pooled=False) for name in names}
    paths.add(weights_path(tmp_path, "pooled", pooled=True))
    assert len(paths) == len(names) + 1
    assert {path.resolve().parent for path in paths} == {tmp_path.resolve()}


def test_compares_federated_pooled_and_alone(tmp_path: Path) -> None:
    config = disc_config({"training.local_epochs": 2})
    shards = disc_shards({"north": 200, "south": 100, "west": 1})
    valid = disc_valid(60, ("north", "south", "west"))
    seen: dict[str, tuple[int, int]] = {}

    def progress(what: str, done: int, total: int) -> None:
        assert done > seen.get(what, (0, 0))[0]
        seen[what] = done, total

    baselines = Baselines(config, shards, valid, tmp_path / "baselines", progress)
    federated = create_model(config.model, seed=config.seed)
    found = baselines.compare(federated, passes=3612)
    assert [(row.kind, row.name, row.images, row.passes) for row in found.rows] == [
        (Kind.FEDERATED, "federated", 301, 3612),
        (Kind.POOLED, "pooled", 301, 3612),
        (Kind.ALONE, "north", 200, 2400),
        (Kind.ALONE, "south", 100, 1200),
        (Kind.ALONE_BY_IMAGES, Kind.ALONE_BY_IMAGES.value, 300, 3600),
        (Kind.ALONE_UNIFORM, Kind.ALONE_UNIFORM.value, 300, 3600),
    ]
    assert "needs at least two" in found.failed["west"]
    pooled = found.rows[1].evaluation.labels[EDEMA].value
    assert pooled is not None
    assert pooled > 0.9
    assert all(done == total for done, total in seen.values())
    assert set(seen) == {
        *(f"training {what}" for what in ("pooled", "north alone", "south alone")),
        *(f"scoring {what}" for what in ("federated", "pooled", "north alone", "south alone")),
    }
    files = sorted(path.name for path in (tmp_path / "baselines").iterdir())
    assert files == ["alone-north.safetensors", "alone-south.safetensors", "pooled.safetensors"]
    assert Baselines(config, shards, valid, tmp_path / "baselines").compare(federated, passes=3612) == found


def test_shards_that_map_one_file_each_for_itself_are_pooled(tmp_path: Path) -> None:
    shards = disc_shards(SIZES)
    np.save(tmp_path / "images.npy", shards["north"].images)
    np.save(tmp_path / "other.npy", shards["north"].images)

    def mapped(name: str, file: str) -> Examples:
        return replace(shards[name], images=np.load(tmp_path / file, mmap_mode="r"))

    pooled = pool({name: mapped(name, "images.npy") for name in shards})
    assert len(pooled) == 64
    with pytest.raises(DataError, match="one decoded cache"):
        pool({"north": mapped("north", "images.npy"), "south": mapped("south", "other.npy")})


def test_shards_of_different_caches_are_not_pooled() -> None:
    one, other = (disc_shards({"a": 4}, seed)["a"] for seed in (0, 1))
    with pytest.raises(DataError, match="one decoded cache"):
        pool({"a": one, "b": other})
    empty: dict[str, Examples] = {}
    with pytest.raises(DataError, match="one decoded cache"):
        pool(empty)
