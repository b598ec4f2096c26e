"""The released file is canonical: the same vector gives the same bytes."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from fedcxr.errors import LayoutError, ModelError
from fedcxr.update import model_file
from fedcxr.update.layout import Layout


def test_file_reads_back_and_its_bytes_follow_from_the_vector(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(40, 30), torch.nn.BatchNorm1d(30))
    layout = Layout.of(model)
    vector = np.random.default_rng(1).normal(size=layout.size).astype(np.float32)
    path = tmp_path / "m.safetensors"
    model_file.write(path, vector, layout, federation=bytes(32), round_number=3)
    assert np.array_equal(model_file.read(path, layout), vector)
    expected = model_file.to_bytes(vector, layout, federation=bytes(32), round_number=3)
    assert path.read_bytes() == expected
    for _ in range(5):
        assert model_file.to_bytes(vector, layout, federation=bytes(32), round_number=3) == expected
    model_file.load(path, model)
    assert np.array_equal(layout.flatten(model.state_dict()), vector)
    assert not list(tmp_path.glob("*.tmp"))


def test_the_file_is_what_safetensors_itself_writes() -> None:
    model = torch.nn.ModuleDict({"b\u00e4": torch.nn.Linear(3, 5), "a": torch.nn.BatchNorm1d(7)})
    layout = Layout.of(model)
    vector = np.random.default_rng(1).normal(size=layout.size).astype(np.float32)
    for number in (0, 7, 12345):
        ours = model_file.to_bytes(vector, layout, federation=b"f" * 32, round_number=number)
        tensors = {
            spec.name: vector[place].reshape(spec.shape)
            for spec, place in zip(layout.tensors, layout.slices, strict=True)
        }
        origin = {
            "digest": model_file.vector_digest(vector).hex(),
            "federation": (b"f" * 32).hex(),
            "layout": layout.digest.hex(),
            "round": number,
        }
        text = json.dumps(origin, sort_keys=True, separators=(",", ":"))
        assert ours == safetensors.numpy.save(tensors, {"fedcxr": text})


def test_files_that_are_no_model_are_refused(tmp_path: Path) -> None:
    layout = Layout.of(torch.nn.Linear(2, 2))
    with pytest.raises(ModelError, match="no such model file"):
        model_file.read(tmp_path / "absent.safetensors", layout)
    (tmp_path / "x.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="not a model file"):
        model_file.read(tmp_path / "x.safetensors", layout)
    other = Layout.of(torch.nn.Linear(3, 2))
    model_file.write(
        tmp_path / "y.safetensors", np.zeros(other.size, np.float32), other, federation=b"", round_number=0
    )
    with pytest.raises(LayoutError, match="weight"):
        model_file.read(tmp_path / "y.safetensors", layout)
