"""The header of a safetensors file of somebody else's: which tensors it has, and where their bytes are.

The library maps a file whole, believes a header of up to 100 MB, and builds every tensor that it names. Here
nothing is read but the header until all that it says is bounded and fits the file.
https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

from fedcxr import json_text
from fedcxr.errors import ModelError

_LONGEST_HEADER = json_text.LONGEST  # bytes; our largest model's has 200,000
_MOST_DIMENSIONS = 8
_BYTES = {
    **{"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2},
    **{"U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8},
}
"""Bytes of a value, by the name of its type."""


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


def tensors_of(path: Path, longest: int) -> Mapping[str, StoredTensor]:
    """The tensors of a file by name, in the order of their bytes.

    Args:
        path: of the file.
        longest: bytes that its tensors may have together.

    Raises:
        ModelError: it is no such file, or its tensors are not what its bytes are: each byte one tensor's.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _tensors(file, longest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not a model file: {error!s:.200}") from None


def _tensors(file: BinaryIO, longest: int) -> Mapping[str, StoredTensor]:
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _LONGEST_HEADER):
        raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
    start = 8 + length
    if size - start > longest:
        raise ValueError(f"tensors of {size - start:,} bytes, where at most {longest:,} are expected")
    tree = json_text.parse(file.read(length))
    found = {name: _tensor(row, start) for name, row in tree.items() if name != "__metadata__"}
    found = dict(sorted(found.items(), key=lambda entry: (entry[1].begin, entry[1].end)))
    at = start
    for name, tensor in found.items():
        if tensor.begin != at:
            raise ValueError(f"{name!r:.80} begins at {tensor.begin:,}, where {at:,} is expected")
        at = tensor.end
    if at != size:
        raise ValueError(f"its tensors end at {at:,}, and it ends at {size:,}")
    return found


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
