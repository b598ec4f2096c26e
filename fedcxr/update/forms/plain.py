"""The plain form: 32 bits a value, which are the vector itself."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fedcxr.errors import LayoutError
from fedcxr.update.fixed_point import Ring
from fedcxr.update.forms.form import Bytes, Form


class Plain(Form):
    """Little-endian words of the ring; nothing is copied on the way."""

    name: ClassVar[str] = "plain"
    challengeable: ClassVar[bool] = True

    @property
    def header(self) -> dict[str, str]:
        return {}

    def longest(self, values: int) -> int:
        return 4 * values

    def carry(self, update: Ring, weight: int) -> Bytes:
        return update.astype("<u4", copy=False).view(np.uint8)

    def room(self, size: int, out: Ring | None) -> Bytes:
        if size % 4:
            raise LayoutError(f"{size} bytes are no vector of 32-bit integers.")
        if out is not None and out.nbytes != size:
            raise LayoutError(f"{size} bytes where {out.nbytes} are expected.")
        return (np.empty(size // 4, np.uint32) if out is None else out).view(np.uint8)

    def restore(self, data: Bytes, values: int, weight: int, out: Ring | None) -> Ring:
        vector = data.view("<u4").astype(np.uint32, copy=False)
        return vector if out is None else out
