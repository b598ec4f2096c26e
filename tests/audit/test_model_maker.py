"""A first model is made by a process beside the audit, which has bounds and leaves nothing behind."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from fedcxr.audit import model_maker
from fedcxr.audit.model_maker import ModelMaker
from fedcxr.audit.model_order import MadeModel, Order, made_from, order_from, order_to_bytes, write_made
from fedcxr.audit.model_process import make
from fedcxr.config import Config
from fedcxr.errors import ModelError
from fedcxr.models.registry import create_model
from fedcxr.training.first_model import weights_data, weights_digest
from fedcxr.update.layout import Layout, TensorSpec


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an audit that has loaded no torch."""
    monkeypatch.delitem(sys.modules, "fedcxr.training.first_model")


@pytest.fixture
def maker(apart: None) -> Iterator[ModelMaker]:
    with ModelMaker() as maker:
        maker.prepare()
        assert maker._process is not None
        yield maker
    assert maker._process._child.returncode is not None, "waited for"


def same(one: MadeModel, other: MadeModel) -> bool:
    values = np.array_equal(one.vector, other.vector) and np.array_equal(one.frozen, other.frozen)
    return values and (one.layout, one.usual) == (other.layout, other.usual)


def test_a_process_makes_what_is_made_here_of_weights_and_of_a_file(
    maker: ModelMaker, small_config: Config, tmp_path: Path
) -> None:
    state = {
        name: tensor
        for name, tensor in create_model(small_config.model, seed=99).state_dict().items()
        if tensor.is_floating_point()
    }
    changes = {"model.pretrained": "weights", "model.pretrained_digest": weights_digest(state)}
    config = small_config.with_changes({**changes, "training.strategy": "probe"})
    config = config.with_changes({"training.self_supervised": "none"})
    order = Order(config, weights=weights_data(state))
    made = maker.make(order).result()
    assert made.frozen.size
    assert same(made, make(order))
    assert make(Order(config, weights=order.weights, frozen=made.layout.frozen)).frozen.size == 0
    save_file(state, tmp_path / "file.safetensors")
    assert same(made, make(Order(config, tmp_path / "file.safetensors")))


def test_a_model_that_cannot_be_made_is_told_in_the_same_words(
    maker: ModelMaker, small_config: Config, tmp_path: Path
) -> None:
    order = Order(small_config.with_changes({"model.pretrained": "weights"}), tmp_path / "none.safetensors")
    with pytest.raises(ModelError) as here:
        make(order)
    with pytest.raises(ModelError) as there:
        maker.make(order).result()
    assert str(there.value) == str(here.value)


def test_a_process_that_takes_too_long_is_ended_and_told(
    apart: None, small_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_maker, "PATIENCE", 0.2)
    with ModelMaker() as maker, pytest.raises(ModelError, match=r"ended with -9: .* more memory or time"):
        maker.make(Order(small_config)).result()


def test_what_takes_more_memory_than_it_may_is_told(
    apart: None, small_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy = "from fedcxr.audit import model_process; model_process._SLACK = 1 << 20; "
    greedy += "model_process._COPIES = 0; "
    monkeypatch.setattr(model_maker, "_START", model_maker._START.replace("from ", greedy + "from ", 1))
    with ModelMaker() as maker, pytest.raises(ModelError, match=r"memory"):
        maker.make(Order(small_config.with_changes({"model.projection_dim": 4096}))).result()


def test_a_process_that_nothing_is_asked_of_ends_at_once(apart: None) -> None:
    with ModelMaker() as maker:
        maker.prepare()
        assert maker._process is not None
        child, started = maker._process._child, time.monotonic()
    assert time.monotonic() - started < 5
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_what_is_loaded_already_is_used_here(small_config: Config) -> None:
    with ModelMaker() as maker:
        maker.prepare()
        assert same(maker.make(Order(small_config)).result(), make(Order(small_config)))
        assert maker._process is None


def test_an_order_and_an_answer_come_through_as_they_are(small_config: Config, tmp_path: Path) -> None:
    for order in (Order(small_config), Order(small_config, tmp_path / "a\nb", b"\n{}", "ab")):
        assert order_from(BytesIO(order_to_bytes(order))) == order
    layout = Layout((TensorSpec("a", (2,), False, False),))
    made = MadeModel(layout, np.float32([1, 2]), np.float32([3]), usual=False)
    whole = BytesIO()
    write_made(made, whole)
    assert same(made_from(BytesIO(whole.getvalue())), made)
    for cut in range(len(whole.getvalue())):
        with pytest.raises(EOFError):
            made_from(BytesIO(whole.getvalue()[:cut]))
