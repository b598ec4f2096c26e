"""``frozen.safetensors``: the tensors of a model that no round trains.

The file is canonical, like a released model's: every byte follows from the tensors. The layout has the Merkle
root of their values, one after the other in the order of their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr import bounded, tensor_file
from fedcxr.errors import LayoutError, ModelError
from fedcxr.tensor_file import StoredTensor
from fedcxr.update import merkle
from fedcxr.update.layout import MOST_VALUES, Layout


def to_bytes(tensors: Mapping[str, NDArray[np.float32]]) -> bytes:
    """The file's bytes."""
    ordered = sorted(tensors.items())
    start = tensor_file.header((name, array.shape) for name, array in ordered)
    return start + b"".join(array.astype("<f4", copy=False).tobytes() for _, array in ordered)


def values(path: Path) -> NDArray[np.uint8]:
    """The bytes of the tensors in a file, of which :attr:`Layout.frozen` is the Merkle root.

    Raises:
        LayoutError: no such file, or not one of float32 tensors in the order of their names.
    """
    return np.fromfile(path, np.uint8, offset=_begin(_tensors(path)))


def root(path: Path) -> bytes:
    """Merkle root of :func:`values`, without holding them in memory; raises LayoutError as that."""
    return merkle.root_of_file(path, _begin(_tensors(path)))


def fault(path: Path, layout: Layout) -> str:
    """What a file with the right values has besides that it should not; empty where it is canonical.

    Raises:
        LayoutError: as :func:`values`.
        OSError: it cannot be read.
    """
    tensors = _tensors(path)
    if both := sorted(tensors.keys() & {spec.name for spec in layout.tensors}):
        return f"{both[0]!r:.80}, which rounds train"
    expected = tensor_file.header((name, tensor.shape) for name, tensor in tensors.items())
    with bounded.opened(path) as file:
        found = file.read(_begin(tensors))
    if found == expected:
        return ""
    pairs = enumerate(zip(found, expected, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), min(len(found), len(expected)))
    return f"another header, from byte {at} on"


def _tensors(path: Path) -> Mapping[str, StoredTensor]:
    try:
        tensors = tensor_file.tensors_of(path, 4 * MOST_VALUES)
    except (ModelError, OSError) as error:
        raise LayoutError(f"{path}: cannot be read: {error}") from None
    if not tensors or any(tensor.dtype != "F32" for tensor in tensors.values()):
        raise LayoutError(f"{path}: not a file of float32 tensors.")
    if list(tensors) != sorted(tensors):
        raise LayoutError(f"{path}: its tensors do not stand in the order of their names.")
    return tensors


def _begin(tensors: Mapping[str, StoredTensor]) -> int:
    """Where the values of a file begin that has nothing else after them."""
    return min(tensor.begin for tensor in tensors.values())
