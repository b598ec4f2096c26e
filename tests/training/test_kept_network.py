"""A network that is kept: hospitals that share it end with the bits of hospitals that have their own."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from fedcxr import config as configuration
from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import NonFiniteError
from fedcxr.training.batch_statistics import gather_statistics
from fedcxr.training.first_model import FirstModel
from fedcxr.training.kept_network import KeptNetwork
from fedcxr.training.shared_tensors import load_local, local_state
from fedcxr.training.state_tensors import StateTensors
from fedcxr.training.trainer import train
from fedcxr.update.layout import Vector

HOSPITALS = ("north", "south")
KINDS: dict[str, dict[str, object]] = {
    "shared": {},
    "local": {"model.norm": "local"},
    "group": {"model.norm": "group"},
    "probe": {"training.strategy": "probe"},
    "channels_last": {"training.memory_format": "channels_last", "model.norm": "local"},
    "contrast": {"training.contrastive_weight": 1.0, "model.norm": "local"},
}


def federation(kind: str) -> Config:
    tree = {
        "name": "kept",
        "seed": 3,
        "data": {"root": "nowhere", "size": 32},
        "model": {"name": "compact", "projection_dim": 8},
        "training": {
            "local_epochs": 1,
            "batch_size": 4,
            "device": "cpu",
            "precision": "float32",
            "memory_format": "contiguous",
        },
        "federation": {"rounds": 2},
    }
    return configuration.validate(tree, where="test").with_changes(KINDS[kind])


def images(name: str) -> Examples:
    rng = np.random.default_rng(HOSPITALS.index(name))
    count, labels = 9, 14
    numbers = np.arange(count)
    return Examples(
        rng.integers(0, 256, (count, 32, 32), dtype=np.uint8),
        numbers,
        rng.integers(0, 2, (count, labels)).astype(np.float32),
        np.ones((count, labels), np.bool_),
        numbers,
        numbers,
    )


def worked(config: Config, network: KeptNetwork, name: str, states: dict[str, StateTensors]) -> list[Vector]:
    """What a hospital sends in two rounds and one of calibration, with its own memory between them."""
    sent = []
    made = FirstModel.of(config)
    base, layout = made.vector, made.layout
    for number in (1, 2, 3):
        with network.lent(config, layout, lambda: FirstModel.of(config)) as model:
            layout.load(base, model)
            state = states.setdefault(name, {})
            load_local(model, state)
            if number < 3:
                train(model, images(name), config=config, round_index=number, hospital=name, state=state)
                state |= local_state(model, config)
            else:
                gather_statistics(model, images(name), config=config, round_index=number, hospital=name)
            sent.append(layout.flatten(model.state_dict()))
            sent += [tensor.numpy().copy() for tensor in local_state(model, config).values()]
    return sent


def in_a_process_of_its_own(kind: str, name: str, out: Path) -> list[Vector]:
    program = (
        "import sys, numpy as np\n"
        "from test_kept_network import *\n"
        "kind, name, out = sys.argv[1:]\n"
        "np.savez(out, *worked(federation(kind), KeptNetwork(), name, {}))\n"
    )
    path = [str(Path(__file__).parent), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{program}", kind, name, str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(out) as arrays:
        return [arrays[key] for key in arrays.files]


@pytest.mark.parametrize("kind", ["shared", "local"])
def test_two_hospitals_of_one_process_have_the_bits_of_two_processes(kind: str, tmp_path: Path) -> None:
    config, network, states = federation(kind), KeptNetwork(), {}  # type: ignore[var-annotated]
    for name in HOSPITALS:
        alone = in_a_process_of_its_own(kind, name, tmp_path / f"{name}.npz")
        together = worked(config, network, name, states)
        assert len(alone) == len(together)
        assert all(map(np.array_equal, alone, together))


@pytest.mark.parametrize("kind", KINDS)
def test_hospitals_in_turn_have_the_bits_of_hospitals_with_networks_of_their_own(kind: str) -> None:
    config, network = federation(kind), KeptNetwork()
    for name in (*HOSPITALS, *HOSPITALS):
        alone = worked(config, KeptNetwork(), name, {})
        together = worked(config, network, name, {})
        assert all(map(np.array_equal, alone, together))


def test_a_network_that_comes_back_is_as_created_but_for_what_a_round_loads() -> None:
    config, network = federation("local"), KeptNetwork()
    fresh = FirstModel.of(config)
    with network.lent(config, fresh.layout, lambda: FirstModel.of(config)) as first:
        with torch.no_grad():
            for tensor in first.state_dict().values():
                tensor.fill_(7)
        next(first.parameters()).grad = torch.ones_like(next(first.parameters()))
    shared = {spec.name for spec in fresh.layout.tensors}
    with network.lent(config, fresh.layout, lambda: pytest.fail("it was kept")) as again:
        assert again is first
        assert all(parameter.grad is None for parameter in again.parameters())
        for name, tensor in fresh.model.state_dict().items():
            assert name in shared or torch.equal(tensor, again.state_dict()[name])


def test_a_network_is_thrown_away_where_training_fails_or_it_is_not_as_it_was() -> None:
    config, network, layout = federation("shared"), KeptNetwork(), FirstModel.of(federation("shared")).layout

    def make() -> FirstModel:
        return FirstModel.of(config)

    with pytest.raises(NonFiniteError), network.lent(config, layout, make) as failed:
        raise NonFiniteError
    with network.lent(config, layout, make) as second:
        assert second is not failed
        second.train()
    with network.lent(config, layout, make) as third:
        assert third is not second


def test_another_configuration_or_layout_gets_another_network() -> None:
    config, network, layout = federation("shared"), KeptNetwork(), FirstModel.of(federation("shared")).layout
    with network.lent(config, layout, lambda: FirstModel.of(config)) as first:
        pass
    other = config.with_changes({"seed": 4})
    with network.lent(other, layout, lambda: FirstModel.of(other)) as second:
        assert second is not first
    less = type(layout)(layout.tensors[1:])
    with network.lent(other, less, lambda: FirstModel.of(other)) as third:
        assert third is not second


def test_nobody_gets_a_network_that_somebody_has() -> None:
    config, network, layout = federation("shared"), KeptNetwork(), FirstModel.of(federation("shared")).layout
    had: list[object] = []

    def borrow() -> None:
        with network.lent(config, layout, lambda: FirstModel.of(config)) as model:
            had.append(model)

    with network.lent(config, layout, lambda: FirstModel.of(config)) as mine:
        other = threading.Thread(target=borrow)
        other.start()
        other.join()
    assert had != [mine]


def test_weights_that_were_replaced_are_read_again(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    config = federation("local").with_changes({"model.pretrained": str(tmp_path / "weights.safetensors")})
    encoder = {
        name: tensor.clone()
        for name, tensor in FirstModel.of(federation("local")).model.encoder.state_dict().items()
    }
    network, found = KeptNetwork(), []
    for value in (1.0, 2.0):
        norm = next(name for name in encoder if name.endswith("running_mean"))
        encoder[norm].fill_(value)
        save_file(encoder, tmp_path / "new")
        (tmp_path / "new").replace(tmp_path / "weights.safetensors")
        made = FirstModel.of(config)
        with network.lent(config, made.layout, lambda: FirstModel.of(config)) as model:
            found.append(float(model.encoder.state_dict()[norm][0]))
    assert found == [1.0, 2.0]
