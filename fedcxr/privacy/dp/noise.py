"""Random numbers that protect patients: from a key of the operating system's, and never from a seed.

A configuration's seed is public. Whoever knows it could draw the noise of a seeded generator and take it
off, so this one is not reproducible, and its key is forgotten with it.
"""

from __future__ import annotations

import math
import secrets

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

_BLOCK = 16  # bytes, of the cipher
_AT_ONCE = 1 << 17  # pairs of normals: what they take stays in a processor's cache
_FRACTION = 2.0**-53


class SecureNoise:
    """A stream of random numbers: the keystream of AES-256-CTR."""

    def __init__(self, key: bytes | None = None) -> None:
        """``key`` is for tests alone: 32 bytes that are nobody's secret."""
        self._cipher = Cipher(AES256(key or secrets.token_bytes(32)), CTR(bytes(_BLOCK))).encryptor()

    def words(self, count: int) -> NDArray[np.uint64]:
        """uint64 (count,), uniform."""
        return np.frombuffer(self._cipher.update(bytes(8 * count)), "<u8")

    def seed(self) -> int:
        """63 bits, for a generator whose draws may not be guessed, and protect nobody."""
        return int(self.words(1)[0] >> np.uint64(1))

    def sample(self, count: int, rate: float) -> NDArray[np.int64]:
        """Those of ``count`` that are taken, each by itself with probability ``rate``, or 2^-64 less."""
        words = self.words(count)
        if rate >= 1.0:
            return np.arange(count, dtype=np.int64)
        return np.flatnonzero(words < np.uint64(math.floor(rate * 2.0**64))).astype(np.int64)

    def normals(self, count: int, deviation: float) -> NDArray[np.int64]:
        """int64 (count,): Gaussian noise of mean 0, each rounded to the nearest whole number.

        By Box and Muller in float64, from 53 bits each: none is farther than 8.6 deviations, which has a
        probability of 10^-17.
        """
        out = np.empty(count + count % 2, np.int64)
        for start in range(0, out.size, 2 * _AT_ONCE):
            piece = out[start : start + 2 * _AT_ONCE]
            half = piece.size // 2
            uniform = (self.words(2 * half) >> np.uint64(11)).astype(np.float64)
            uniform[:half] += 1.0  # above 0, for the logarithm
            uniform *= _FRACTION
            length = np.sqrt(-2.0 * np.log(uniform[:half]))
            length *= deviation
            angle = uniform[half:] * (2.0 * math.pi)
            piece[:half] = np.rint(length * np.cos(angle))
            piece[half:] = np.rint(length * np.sin(angle))
        return out[:count]
