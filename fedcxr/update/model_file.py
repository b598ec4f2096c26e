"""The released model as a safetensors file whose every byte follows from the vector and the round.

The file is canonical, so that an audit can compare it whole: a change in its header or between its tensors
is found like one in its weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedcxr import files, tensor_file
from fedcxr.errors import LayoutError, ModelError
from fedcxr.update import merkle
from fedcxr.update.layout import MOST_VALUES, Layout, Vector

if TYPE_CHECKING:
    import torch

_KEY = "fedcxr"  # one metadata key only: safetensors does not order them


def to_bytes(vector: Vector, layout: Layout, *, federation: bytes, round_number: int) -> bytes:
    """The file's bytes: every tensor of the layout, and where the model comes from."""
    layout.check(vector)
    start = header(layout, vector_digest(vector), federation=federation, round_number=round_number)
    return b"".join((start, merkle.as_bytes(vector.astype("<f4", copy=False))))


def header(layout: Layout, digest: bytes, *, federation: bytes, round_number: int) -> bytes:
    """What stands before the vector's little-endian bytes in the file of the model with this digest."""
    origin = {
        "digest": digest.hex(),
        "federation": federation.hex(),
        "layout": layout.digest.hex(),
        "round": round_number,
    }
    text = json.dumps(origin, sort_keys=True, separators=(",", ":"))
    return tensor_file.header(((spec.name, spec.shape) for spec in layout.tensors), {_KEY: text})


def write(
    path: Path,
    vector: Vector,
    layout: Layout,
    *,
    federation: bytes,
    round_number: int,
    digest: bytes | None = None,
) -> None:
    """Write :func:`to_bytes`, wholly or not at all; a ``digest`` that is known already spares the hashing.

    Raises:
        StoreError: it cannot be written.
    """
    layout.check(vector)
    digest = vector_digest(vector) if digest is None else digest
    start = header(layout, digest, federation=federation, round_number=round_number)
    files.write(path, (start, merkle.as_bytes(vector.astype("<f4", copy=False))))


def read(path: Path, layout: Layout) -> Vector:
    """The vector of a model file, float32 (layout.size,).

    Raises:
        ModelError: no such file, or not a safetensors file.
        LayoutError: its tensors do not fit the layout.
    """
    try:
        tensors = tensor_file.tensors_of(path, 4 * MOST_VALUES)
        vector = np.empty(layout.size, np.float32)
        for spec, place in zip(layout.tensors, layout.slices, strict=True):
            tensor = tensors.get(spec.name)
            if tensor is None:
                raise LayoutError(f"{spec.name}: missing from the state.")
            if tensor.shape != spec.shape or tensor.dtype != "F32":
                found = f"{tensor.dtype} {tensor.shape}"
                raise LayoutError(f"{spec.name}: {found}, but the layout says float32 {spec.shape}.")
            vector[place] = np.fromfile(path, "<f4", spec.size, offset=tensor.begin)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such model file.") from None
    except (OSError, ValueError) as error:  # a file that is cut short while it is read, too
        raise ModelError(f"{path}: not a model file: {error}") from None
    return vector


def load(path: Path, model: torch.nn.Module) -> None:
    """Load a model file into a module of the same architecture.

    Raises:
        ModelError, LayoutError: as :func:`read`.
    """
    layout = Layout.of(model)
    layout.load(read(path, layout), model)


def vector_digest(vector: Vector) -> bytes:
    """The model digest that the ledger holds: the Merkle root of the vector's little-endian bytes."""
    return merkle.root(vector.astype("<f4", copy=False).view(np.uint8))
