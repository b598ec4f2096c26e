"""The packed form: the same integers, in as few bits as each block of them needs.

Of 32 bits a value the hospital's weight has up to 12, and everybody knows it; the 20 of q are rarely used,
since a tensor's scale leaves room for its largest value to grow sixteen times. What travels is q alone
(:mod:`fedcxr.update.forms.bit_packing`), and whoever reads it multiplies by the weight that the contract has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from fedcxr.errors import LayoutError
from fedcxr.update.fixed_point import Ring
from fedcxr.update.forms import bit_packing
from fedcxr.update.forms.form import Bytes, Form

_CHUNK = 256 * bit_packing.BLOCK


class Packed(Form):
    """A width for each block of 1,024 values."""

    name: ClassVar[str] = "packed"

    def longest(self, values: int) -> int:
        return bit_packing.longest(values, self._widest)

    def carry(self, update: Ring, weight: int) -> Bytes:
        return bit_packing.pack(self._integers(update, weight), update.size, self._widest)

    def room(self, size: int, out: Ring | None) -> Bytes:
        return np.empty(size, np.uint8)

    def restore(self, data: Bytes, values: int, weight: int, out: Ring | None) -> Ring:
        if out is not None and out.size != values:
            raise LayoutError(f"{values} values where {out.size} are expected.")
        integers = bit_packing.unpack(data, values, self._widest)
        update = np.empty(values, np.uint32) if out is None else out
        signed, end = update.view(np.int32), 0
        for chunk in integers:
            if chunk.size and max(int(chunk.max()), -int(chunk.min())) > self.limit:
                raise LayoutError(f"an integer beyond {self.limit}.")
            np.multiply(chunk, np.int32(weight), out=signed[end : end + chunk.size])
            end += chunk.size
        return update

    @property
    def _widest(self) -> int:
        """Bits of the largest integer and its sign."""
        return (2 * self.limit).bit_length()

    def _integers(self, update: Ring, weight: int) -> Iterator[bit_packing.Signed]:
        signed = update.view(np.int32)
        for first in range(0, signed.size, _CHUNK):
            chunk = signed[first : first + _CHUNK]
            integers = chunk // np.int32(weight)
            if not np.array_equal(integers * np.int32(weight), chunk):
                raise LayoutError(f"the update is no multiple of its weight, {weight}.")
            yield integers
