"""safetensors files without the library: the same tensors and the same bytes as with it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save, save_file

from fedcxr import tensor_file
from fedcxr.errors import ModelError
from fedcxr.update import frozen_file

KINDS = (torch.bool, torch.uint8, torch.int8, torch.int64, torch.float16, torch.bfloat16, torch.float64)


def test_every_type_is_read_as_the_library_reads_it(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    tensors = {f"of {kind}": torch.rand(3, 5, generator=generator).mul(9).to(kind) for kind in KINDS}
    tensors |= {"a number": torch.tensor(2.5), "nothing": torch.empty(0, 4), "é": torch.ones(2)}
    save_file(tensors, tmp_path / "t.safetensors", {"fedcxr": "some text"})
    found, metadata = tensor_file.read(tmp_path / "t.safetensors")
    expected = load_file(tmp_path / "t.safetensors")
    assert metadata == {"fedcxr": "some text"}
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_frozen_tensors_have_the_bytes_that_the_library_writes() -> None:
    """So that the files of runs which the library wrote are canonical too."""
    generator = torch.Generator().manual_seed(1)
    names = ("b.weight", "a.bias", "a.weight", "Z", "é", 'a "quote"', "a.running_mean")
    for count in range(1, len(names) + 1):
        tensors = {name: torch.rand(at % 3 + 1, 2, generator=generator) for at, name in enumerate(names)}
        tensors = {name: tensors[name] for name in names[:count]} | {"a number": torch.tensor(1.5)}
        arrays = {name: tensor.numpy().astype(np.float32) for name, tensor in tensors.items()}
        assert frozen_file.to_bytes(arrays) == save(tensors)


def test_nobody_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError):
        tensor_file.read(tmp_path / "pipe")


def test_a_file_has_no_more_than_it_may(tmp_path: Path) -> None:
    save_file({"a": torch.ones(100)}, tmp_path / "t.safetensors")
    with pytest.raises(ModelError, match="where at most 399 are expected"):
        tensor_file.read(tmp_path / "t.safetensors", 399)
