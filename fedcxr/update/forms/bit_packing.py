"""Small integers in as few bits as the largest of their neighbours needs, in one way only.

Weights of a layer move by about as much as one another, so that a width for every 1,024 values is near what
an entropy coder would reach, in a tenth of its time, and needs no table or library whose next version might
write other bytes. The packed form of n integers::

    a byte for each block of 1,024 values, its width; zeros to a multiple of four
    for each chunk of 256 blocks, by ascending width and then in their order: the blocks' bits

An integer becomes a natural number whose last bit is its sign (zigzag: 0, -1, 1, -2, … are 0, 1, 2, 3, …). A
block is 32 rows of 32 such numbers; of width w it takes 32 little-endian words a bit of w, word k of a lane
(a column) having bits 32k to 32k + 31 of the lane's 32 numbers, the first one lowest. The last block is
filled up with zeros. Blocks of one width are packed together, bit for bit as if they stood alone, with the
words of the same k next to each other: every step is then over arrays and not over values.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fedcxr.errors import LayoutError

Signed = NDArray[np.int32]
Words = NDArray[np.uint32]

BLOCK = 1024
"""Values that share a width."""

_ROWS = _LANES = 32
_CHUNK = 256  # blocks that are packed at once: what a processor's cache holds


def longest(values: int, widest: int) -> int:
    """The most bytes that so many values have, if none takes more than ``widest`` bits."""
    blocks = _blocks(values)
    return _head(blocks) + blocks * 4 * _LANES * widest


def pack(chunks: Iterator[Signed], values: int, widest: int) -> NDArray[np.uint8]:
    """The packed form of integers.

    Args:
        chunks: the integers, int32, ``BLOCK * 256`` at a time; the last may have fewer.
        values: how many there are.
        widest: bits that one may take, its sign among them.

    Raises:
        LayoutError: one takes more.
    """
    blocks = _blocks(values)
    data = np.empty(longest(values, widest), np.uint8)  # the system gives what is written to
    data[: _head(blocks)] = 0
    words, end = data.view("<u4"), _head(blocks) // 4
    naturals = np.empty((_CHUNK, _ROWS, _LANES), np.uint32)
    for number, chunk in enumerate(chunks):
        count = _blocks(chunk.size)
        flat = naturals.reshape(-1)[: count * BLOCK]
        _to_naturals(chunk, flat[: chunk.size])
        flat[chunk.size :] = 0
        widths = _widths(flat)
        if widths.max(initial=0) > widest:
            raise LayoutError(f"an integer takes {widths.max()} bits, where {widest} are the most.")
        data[number * _CHUNK : number * _CHUNK + count] = widths
        for width in _present(widths):
            rows = naturals[:count].transpose(1, 0, 2)[:, widths == width]
            size = width * rows[0].size
            words[end : end + size] = _packed(rows, width).reshape(-1)
            end += size
    return data[: 4 * end]


def unpack(data: NDArray[np.uint8], values: int, widest: int) -> Iterator[Signed]:
    """The integers of :func:`pack`, int32, a chunk at a time, each good until the next is asked for.

    What the lengths say is checked at once, and what the integers say as they come.

    Memory is taken for one chunk, whatever the bytes say.

    Args:
        data: as it came.
        values: how many it must have.
        widest: bits that one may take.

    Raises:
        LayoutError: it is no packed form of so many integers, or not the one that they have.
    """
    blocks = _blocks(values)
    head = _head(blocks)
    if data.nbytes < head:
        raise LayoutError(f"{data.nbytes:,} bytes are no packed form of {values:,} integers.")
    widths = data[:blocks]
    if (most := int(widths.max(initial=0))) > widest:
        raise LayoutError(f"a block of {most} bits, where {widest} are the most.")
    needed = head + 4 * _LANES * int(widths.sum(dtype=np.int64))
    if data.nbytes != needed or data[blocks:head].any():
        raise LayoutError(f"{data.nbytes:,} bytes, where the widths of its blocks have {needed:,}.")
    return _chunks(data[head:].view("<u4"), widths, values)


def _chunks(words: Words, widths: NDArray[np.uint8], values: int) -> Iterator[Signed]:
    end = 0
    naturals = np.empty((_CHUNK, _ROWS, _LANES), np.uint32)
    for first in range(0, widths.size, _CHUNK):
        these = widths[first : first + _CHUNK]
        naturals[: these.size][these == 0] = 0
        for width in _present(these):
            here = np.flatnonzero(these == width)
            size = width * here.size * _LANES
            rows = _unpacked(words[end : end + size].reshape(width, here.size, _LANES), width)
            naturals[here] = rows.transpose(1, 0, 2)
            end += size
        flat = naturals.reshape(-1)[: these.size * BLOCK]
        count = min(flat.size, values - first * BLOCK)
        if not np.array_equal(_widths(flat), these) or flat[count:].any():
            raise LayoutError("not the packed form of its integers: a width or the filling is another.")
        yield _to_signed(flat[:count])


def _blocks(values: int) -> int:
    return -(-values // BLOCK)


def _head(blocks: int) -> int:
    """Bytes of the widths."""
    return -(-blocks // 4) * 4


def _widths(naturals: Words) -> NDArray[np.uint8]:
    """Bits of the largest number of each block."""
    largest = naturals.reshape(-1, BLOCK).max(axis=1)
    bits: NDArray[np.int32] = np.frexp(largest.astype(np.float64))[1]
    return bits.astype(np.uint8)


def _present(widths: NDArray[np.uint8]) -> list[int]:
    """The widths of a chunk, ascending; blocks of zeros take no bits."""
    return [int(width) for width in np.unique(widths) if width]


def _packed(rows: Words, width: int) -> Words:
    """Rows of numbers, uint32 (32, blocks, 32), as words (width, blocks, 32)."""
    words = np.zeros((width, *rows.shape[1:]), np.uint32)
    for row in range(_ROWS):
        word, shift = divmod(row * width, 32)
        words[word] |= rows[row] << np.uint32(shift)
        if shift + width > 32:
            words[word + 1] |= rows[row] >> np.uint32(32 - shift)
    return words


def _unpacked(words: Words, width: int) -> Words:
    """The reverse of :func:`_packed`."""
    rows = np.empty((_ROWS, *words.shape[1:]), np.uint32)
    mask = np.uint32((1 << width) - 1)
    for row in range(_ROWS):
        word, shift = divmod(row * width, 32)
        np.right_shift(words[word], np.uint32(shift), out=rows[row])
        if shift + width > 32:
            rows[row] |= words[word + 1] << np.uint32(32 - shift)
        rows[row] &= mask
    return rows


def _to_naturals(signed: Signed, out: Words) -> None:
    np.left_shift(signed, 1, out=out.view(np.int32))
    np.bitwise_xor(out.view(np.int32), signed >> 31, out=out.view(np.int32))


def _to_signed(naturals: Words) -> Signed:
    signs = -(naturals & np.uint32(1)).view(np.int32)
    naturals >>= np.uint32(1)
    signed = naturals.view(np.int32)
    signed ^= signs
    return signed
