"""Masks: the keystream of AES-256-CTR under a seed, as words of the ring, added to a vector or taken off it.

A seed is the key of one mask, so its counter begins at zero. Word x is the little-endian word at byte
4 (x mod 4) of block ⌊x / 4⌋: a court needs one block for one disputed word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB

from fedcxr.update.fixed_point import Ring

BLOCK = 16
_AT_ONCE = 1 << 18  # words: a piece of the vector and of a mask stay in a processor's cache
_ZEROS = bytes(4 * _AT_ONCE)


def apply(vector: Ring, plus: Sequence[bytes], minus: Sequence[bytes]) -> None:
    """Add masks to a vector and take others off it, **in place**, modulo 2^32.

    Args:
        vector: uint32 (n,), contiguous.
        plus: seeds, 32 bytes each, of masks to add.
        minus: seeds of masks to take off.
    """
    added, removed = ([_keystream(seed) for seed in seeds] for seeds in (plus, minus))
    stream = np.empty(min(vector.size, _AT_ONCE), "<u4")
    for start in range(0, vector.size, _AT_ONCE):
        piece = vector[start : start + _AT_ONCE]
        words = stream[: piece.size]
        for mask in _next(added, words):
            np.add(piece, mask, out=piece)
        for mask in _next(removed, words):
            np.subtract(piece, mask, out=piece)


def word(seed: bytes, place: int) -> int:
    """One word of a mask, from one block of AES."""
    encryptor = Cipher(AES256(seed), ECB()).encryptor()  # noqa: S305 (one block, as counter mode has it)
    block = encryptor.update((place // 4).to_bytes(BLOCK)) + encryptor.finalize()
    begin = 4 * (place % 4)
    return int.from_bytes(block[begin : begin + 4], "little")


def _keystream(seed: bytes) -> CipherContext:
    return Cipher(AES256(seed), CTR(bytes(BLOCK))).encryptor()


def _next(streams: Iterable[CipherContext], words: Ring) -> Iterable[Ring]:
    """The next words of each keystream, one after the other in the same memory."""
    for stream in streams:
        stream.update_into(_ZEROS[: words.nbytes], words.view(np.uint8).data)
        yield words
