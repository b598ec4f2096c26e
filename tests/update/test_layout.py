"""The layout: what travels, in which order, and what does not fit."""

import numpy as np
import pytest
import torch

from fedcxr.errors import LayoutError
from fedcxr.update.layout import Layout


def network() -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Flatten())
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator))
    return model


def test_layout_holds_the_floating_tensors_by_name_and_no_counter() -> None:
    layout = Layout.of(network())
    assert [s.name for s in layout.tensors] == [
        "0.bias", "0.weight", "1.bias", "1.running_mean", "1.running_var", "1.weight",
    ]  # fmt: skip
    assert [s.name for s in layout.tensors if s.statistic] == ["1.running_mean", "1.running_var"]
    assert [s.name for s in layout.tensors if s.nonnegative] == ["1.running_var"]
    assert layout.size == 3 + 27 + 4 * 3


def test_flatten_and_load_are_inverse() -> None:
    model, layout = network(), Layout.of(network())
    vector = layout.flatten(model.state_dict())
    other = network()
    layout.load(vector * 2, other)
    assert np.array_equal(layout.flatten(other.state_dict()), vector * 2)
    assert torch.equal(other.state_dict()["0.weight"], model.state_dict()["0.weight"] * 2)


def test_layout_reads_back_from_json_with_the_same_digest() -> None:
    layout = Layout.of(network())
    again = Layout.from_json(layout.to_json())
    assert again == layout
    assert again.digest == layout.digest
    wider = Layout.of(torch.nn.Conv2d(1, 4, 3))
    assert wider.digest != layout.digest


def test_missing_reshaped_and_retyped_tensors_are_named() -> None:
    layout, state = Layout.of(network()), network().state_dict()
    with pytest.raises(LayoutError, match=r"0\.bias: missing"):
        layout.flatten({k: v for k, v in state.items() if k != "0.bias"})
    with pytest.raises(LayoutError, match=r"0\.bias: .* \(4,\), but the layout says float32 \(3,\)"):
        layout.flatten({**state, "0.bias": torch.zeros(4)})
    with pytest.raises(LayoutError, match=r"0\.bias: torch\.float64"):
        layout.flatten({**state, "0.bias": torch.zeros(3, dtype=torch.float64)})
    with pytest.raises(LayoutError, match="has 42 values"):
        layout.load(np.zeros(41, np.float32), network())
    with pytest.raises(LayoutError, match="the model has no such tensor"):
        layout.load(np.zeros(42, np.float32), torch.nn.Linear(1, 1))


def test_models_that_cannot_be_aggregated_are_refused() -> None:
    with pytest.raises(LayoutError, match="no floating tensor"):
        Layout.of(torch.nn.Flatten())
    with pytest.raises(LayoutError, match="float64"):
        Layout.of(torch.nn.Linear(1, 1).double())
    with pytest.raises(LayoutError, match="not a layout"):
        Layout.from_json("[]")
    with pytest.raises(LayoutError, match="no digest"):
        Layout.from_json('{"format": "fedcxr/layout/1", "tensors": [], "frozen": "zz"}')
