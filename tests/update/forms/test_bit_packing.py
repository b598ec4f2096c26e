"""Bit packing against a naive reference, and that one integer vector has one form."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedcxr.errors import LayoutError
from fedcxr.update.forms import bit_packing
from fedcxr.update.forms.bit_packing import BLOCK

CHUNK = 256 * BLOCK


def chunks(values: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
    return (values[k : k + CHUNK] for k in range(0, values.size, CHUNK))


def packed(values: NDArray[np.int32], widest: int = 20) -> NDArray[np.uint8]:
    return bit_packing.pack(chunks(values), values.size, widest).copy()


def unpacked(data: NDArray[np.uint8], values: int, widest: int = 20) -> list[int]:
    return [int(v) for chunk in bit_packing.unpack(data, values, widest) for v in chunk]


def naive(values: list[int]) -> bytes:
    """One chunk's packed form, bit by bit, as the module's docstring says it."""
    naturals = [2 * v if v >= 0 else -2 * v - 1 for v in values]
    naturals += [0] * (-len(naturals) % BLOCK)
    blocks = [naturals[k : k + BLOCK] for k in range(0, len(naturals), BLOCK)]
    widths = [max(block).bit_length() for block in blocks]
    data = bytes(widths) + bytes(-len(widths) % 4)
    for width in sorted(set(widths)):
        streams = []  # of each block: a lane's words, one list a lane
        for block in (b for b, w in zip(blocks, widths, strict=True) if w == width):
            lanes = [sum(n << (width * row) for row, n in enumerate(block[lane::32])) for lane in range(32)]
            streams.append(lanes)
        for word in range(width):
            for lanes in streams:
                for bits in lanes:
                    data += ((bits >> (32 * word)) & 0xFFFFFFFF).to_bytes(4, "little")
    return data


@settings(max_examples=60)
@given(
    st.integers(1, 3000),
    st.lists(st.sampled_from([0, 1, 2, 5, 60, 3000, 2**19 - 1]), min_size=3, max_size=3),
    st.integers(0, 99),
)
def test_it_is_what_the_naive_reference_writes_and_is_read_back(
    size: int, reach: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    limits = np.repeat(reach, BLOCK)[:size]
    values = rng.integers(-limits, limits + 1).astype(np.int32)
    data = packed(values)
    assert data.tobytes() == naive(values.tolist())
    assert unpacked(data, size) == values.tolist()
    assert data.nbytes <= bit_packing.longest(size, 20)


def test_several_chunks_of_which_the_last_is_short_are_read_back() -> None:
    rng = np.random.default_rng(1)
    values = (rng.standard_normal(2 * CHUNK + 1234) * 300).astype(np.int32)
    values[CHUNK : CHUNK + 5 * BLOCK] = 0
    data = packed(values)
    assert unpacked(data, values.size) == values.tolist()
    assert data.nbytes < 0.4 * values.nbytes


def test_nothing_and_zeros_take_next_to_nothing() -> None:
    assert packed(np.empty(0, np.int32)).nbytes == 0
    assert unpacked(np.empty(0, np.uint8), 0) == []
    zeros = packed(np.zeros(10 * BLOCK, np.int32))
    assert zeros.nbytes == 12
    assert not any(unpacked(zeros, 10 * BLOCK))


def test_an_integer_that_is_too_wide_is_not_packed() -> None:
    with pytest.raises(LayoutError, match="takes 21 bits, where 20 are the most"):
        packed(np.array([2**19], np.int32))


def test_every_other_string_of_bytes_is_refused() -> None:
    rng = np.random.default_rng(2)
    values = (rng.standard_normal(2 * BLOCK + 100) * 50).astype(np.int32)
    good = packed(values)
    seen = {good.tobytes()}
    for at in range(0, good.nbytes, 7):
        data = good.copy()
        data[at] ^= 1 << rng.integers(8)
        try:
            other = np.array(unpacked(data, values.size), np.int32)
        except LayoutError:
            continue
        assert packed(other).tobytes() == data.tobytes()  # of other integers
        assert data.tobytes() not in seen
        seen.add(data.tobytes())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data[:-4],
        lambda data: np.append(data, np.uint8([0, 0, 0, 0])),
        lambda data: data[:2],
        lambda data: data[:0],
    ],
)
def test_another_length_is_refused(spoil) -> None:  # type: ignore[no-untyped-def]
    data = packed(np.arange(3 * BLOCK, dtype=np.int32))
    with pytest.raises(LayoutError, match="bytes"):
        bit_packing.unpack(spoil(data), 3 * BLOCK, 20)


def test_a_width_wider_than_need_be_is_refused() -> None:
    """One integer would have many forms otherwise."""
    lean = packed(np.ones(BLOCK, np.int32))
    wide = packed(np.full(BLOCK, 3, np.int32))
    assert lean[0] == 2
    assert wide[0] == 3
    fat = np.zeros_like(wide)
    fat[0] = 3
    with pytest.raises(LayoutError, match="not the packed form"):
        unpacked(fat, BLOCK)


def test_what_fills_the_last_block_is_zero() -> None:
    data = packed(np.arange(BLOCK, dtype=np.int32))
    with pytest.raises(LayoutError, match="not the packed form"):
        unpacked(data, BLOCK - 1)


def test_widths_of_a_bomb_are_refused_before_anything_is_made_of_them() -> None:
    data = np.full(400, 255, np.uint8)
    with pytest.raises(LayoutError, match="a block of 255 bits"):
        bit_packing.unpack(data, 400 * BLOCK, 20)
