"""safetensors files: of others, read within bounds; of ours, with a header that follows from its tensors.

The library maps a file whole, believes a header of up to 100 MB, and builds every tensor that it names. Here
nothing is read but the header until all that it says is bounded and fits the file.
https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fedcxr import bounded, json_text
from fedcxr.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

MOST_BYTES = 1 << 31
"""Bytes of the tensors of any file that is read; the largest model that a layout admits has as many."""

_LONGEST_HEADER = json_text.LONGEST  # bytes; our largest model's has 200,000
_MOST_DIMENSIONS = 8
_BYTES = {
    **{"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2},
    **{"U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8},
}
"""Bytes of a value, by the name of its type."""
_TORCH = {
    **{"BOOL": "bool", "U8": "uint8", "I8": "int8", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"},
    **{"U16": "uint16", "I16": "int16", "F16": "float16", "BF16": "bfloat16", "U32": "uint32"},
    **{"I32": "int32", "F32": "float32", "U64": "uint64", "I64": "int64", "F64": "float64"},
}


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file.

    Attributes:
        begin, end: of its bytes, from the begin of the file.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class TensorFile:
    """What the header of a file says.

    Attributes:
        tensors: by name, in the order of their bytes.
        metadata: texts by key.
    """

    tensors: Mapping[str, StoredTensor]
    metadata: Mapping[str, str]


def tensors_of(path: Path, longest: int) -> Mapping[str, StoredTensor]:
    """The tensors of a file by name, in the order of their bytes.

    Args:
        path: of the file.
        longest: bytes that its tensors may have together.

    Raises:
        ModelError: it is no such file, or its tensors are not what its bytes are: each byte one tensor's.
        OSError: it cannot be read.
    """
    with bounded.opened(path) as file:
        return _header_of(file, path, longest).tensors


def read(path: Path, longest: int = MOST_BYTES) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """The tensors of a file, on the CPU, and its metadata.

    Raises:
        ModelError, OSError: as :func:`tensors_of`.
    """
    import torch

    found: dict[str, Tensor] = {}
    with bounded.opened(path) as file:
        header = _header_of(file, path, longest)
        for name, stored in header.tensors.items():
            tensor = torch.empty(stored.shape, dtype=getattr(torch, _TORCH[stored.dtype]))
            size = stored.end - stored.begin
            if size:
                into = tensor.view(-1).view(torch.uint8).numpy()
                if file.readinto(into.data) != size:
                    raise ModelError(f"{path}: not a model file: it was cut short while it was read.")
            found[name] = tensor
    return found, header.metadata


def header(
    tensors: Iterable[tuple[str, tuple[int, ...]]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """What stands before the bytes of float32 tensors, as safetensors writes it.

    Tensors of one type stand in the order of their names, and spaces fill up to a multiple of eight bytes.

    Args:
        tensors: name and shape of each, in the order of their names.
        metadata: one key at most, for safetensors does not order them; None for none.
    """
    tree: dict[str, object] = {} if metadata is None else {"__metadata__": metadata}
    at = 0
    for name, shape in tensors:
        end = at + 4 * prod(shape)
        tree[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(tree, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return len(text).to_bytes(8, "little") + text


def _header_of(file: BinaryIO, path: Path, longest: int) -> TensorFile:
    try:
        return _read_header(file, longest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not a model file: {error!s:.200}") from None


def _read_header(file: BinaryIO, longest: int) -> TensorFile:
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _LONGEST_HEADER):
        raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
    start = 8 + length
    if size - start > longest:
        raise ValueError(f"tensors of {size - start:,} bytes, where at most {longest:,} are expected")
    tree = json_text.parse(file.read(length))
    metadata = tree.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("its metadata are no texts")
    found = {name: _tensor(row, start) for name, row in tree.items()}
    found = dict(sorted(found.items(), key=lambda entry: (entry[1].begin, entry[1].end)))
    at = start
    for name, tensor in found.items():
        if tensor.begin != at:
            raise ValueError(f"{name!r:.80} begins at {tensor.begin:,}, where {at:,} is expected")
        at = tensor.end
    if at != size:
        raise ValueError(f"its tensors end at {at:,}, and it ends at {size:,}")
    return TensorFile(found, metadata)


def _tensor(row: Mapping[str, object], start: int) -> StoredTensor:
    dtype, shape, offsets = row["dtype"], row["shape"], row["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BYTES:
        raise ValueError(f"{dtype!r:.40} is no type of a tensor")
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS or not all(map(_whole, shape)):
        raise ValueError(f"{shape!r:.80} is no shape of at most {_MOST_DIMENSIONS} dimensions")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_whole, offsets)):
        raise ValueError(f"{offsets!r:.80} is no place of a tensor")
    if offsets[1] - offsets[0] != prod(shape) * _BYTES[dtype]:
        raise ValueError(f"{offsets!r:.80} is no place of a {dtype} of shape {shape!r:.80}")
    return StoredTensor(dtype, tuple(shape), start + offsets[0], start + offsets[1])


def _whole(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 62
