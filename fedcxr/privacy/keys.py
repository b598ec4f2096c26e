"""HPKE keys as bytes: what a hospital's disk and the ledger hold.

The hybrid KEM's public key is ML-KEM-768 (1,184 bytes) followed by X25519 (32 bytes); the private key is the
ML-KEM seed (64 bytes) followed by the X25519 scalar (32 bytes). Where updates are masked, an X25519 mask key
of 32 bytes follows, in the public and in the private bytes: masks come from it, and nothing is sealed to it.
All of these differ in length, so that a key says what it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from fedcxr.errors import EnvelopeError

KemName = Literal["MLKEM768_X25519", "X25519"]
_KEMS: dict[KemName, hpke.KEM] = {"MLKEM768_X25519": hpke.KEM.MLKEM768_X25519, "X25519": hpke.KEM.X25519}
MASK_KEY = 32
"""Bytes of a mask key, public or private."""

_PUBLIC_LENGTHS: dict[int, tuple[KemName, int]] = {}
_PRIVATE_LENGTHS: dict[int, tuple[KemName, int]] = {}
"""By the length of all bytes: the KEM, and how many of them are the HPKE key."""

for _mask in (0, MASK_KEY):
    _PUBLIC_LENGTHS |= {1184 + 32 + _mask: ("MLKEM768_X25519", 1184 + 32), 32 + _mask: ("X25519", 32)}
    _PRIVATE_LENGTHS |= {64 + 32 + _mask: ("MLKEM768_X25519", 64 + 32), 32 + _mask: ("X25519", 32)}


def suite(kem: KemName) -> hpke.Suite:
    """The HPKE suite of RFC 9180: the KEM with HKDF-SHA256 and AES-256-GCM."""
    return hpke.Suite(_KEMS[kem], hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@dataclass(frozen=True)
class EnvelopePublicKey:
    """Whom an envelope is sealed to; a hospital that masks has its public mask key with it.

    Raises:
        EnvelopeError: the bytes are not a public key.
    """

    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) not in _PUBLIC_LENGTHS:
            raise EnvelopeError(
                f"a public key of {len(self.data)} bytes: expected one of {sorted(_PUBLIC_LENGTHS)}."
            )

    @property
    def kem(self) -> KemName:
        return _PUBLIC_LENGTHS[len(self.data)][0]

    @property
    def mask_key(self) -> bytes:
        """X25519, 32 bytes; empty where there is none."""
        return self.data[_PUBLIC_LENGTHS[len(self.data)][1] :]

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of all of the key's bytes, as the ledger holds it."""
        return hashlib.sha256(self.data).digest()

    def seal(self, secret: bytes, info: bytes) -> bytes:
        """Encapsulated key and ciphertext of a short secret."""
        return suite(self.kem).encrypt(secret, self._key, info)

    @cached_property
    def _key(self) -> hpke.MLKEM768X25519PublicKey | X25519PublicKey:
        data = self.data[: _PUBLIC_LENGTHS[len(self.data)][1]]
        try:
            x25519 = X25519PublicKey.from_public_bytes(data[-32:])
            if self.kem == "X25519":
                return x25519
            return hpke.MLKEM768X25519PublicKey(MLKEM768PublicKey.from_public_bytes(data[:-32]), x25519)
        except ValueError as error:
            raise EnvelopeError(f"not a public key: {error}") from None


@dataclass(frozen=True, repr=False)
class EnvelopePrivateKey:
    """Who opens an envelope; a hospital that masks has its mask key with it.

    Never printed; written only by the key's owner.

    Raises:
        EnvelopeError: the bytes are not a private key.
    """

    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) not in _PRIVATE_LENGTHS:
            raise EnvelopeError(
                f"a private key of {len(self.data)} bytes: expected {sorted(_PRIVATE_LENGTHS)}."
            )

    @classmethod
    def generate(cls, kem: KemName, *, masks: bool = False) -> Self:
        """A fresh key from the operating system's randomness.

        Args:
            kem: that envelopes are sealed with.
            masks: whether it comes with a mask key.
        """
        mlkem = b"" if kem == "X25519" else MLKEM768PrivateKey.generate().private_bytes_raw()
        x25519 = X25519PrivateKey.generate().private_bytes_raw()
        mask_key = X25519PrivateKey.generate().private_bytes_raw() if masks else b""
        return cls(mlkem + x25519 + mask_key)

    @property
    def kem(self) -> KemName:
        return _PRIVATE_LENGTHS[len(self.data)][0]

    @cached_property
    def mask_key(self) -> X25519PrivateKey | None:
        """The private mask key; None where there is none."""
        raw = self.data[_PRIVATE_LENGTHS[len(self.data)][1] :]
        return X25519PrivateKey.from_private_bytes(raw) if raw else None

    @cached_property
    def public(self) -> EnvelopePublicKey:
        x25519 = X25519PrivateKey.from_private_bytes(self._sealing[-32:]).public_key().public_bytes_raw()
        mask_key = b"" if self.mask_key is None else self.mask_key.public_key().public_bytes_raw()
        if self.kem == "X25519":
            return EnvelopePublicKey(x25519 + mask_key)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(self._sealing[:-32]).public_key().public_bytes_raw()
        return EnvelopePublicKey(mlkem + x25519 + mask_key)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """The secret that :meth:`EnvelopePublicKey.seal` sealed under the same ``info``.

        Raises:
            cryptography.exceptions.InvalidTag, ValueError: another key, another info, changed bytes.
        """
        return suite(self.kem).decrypt(sealed, self._key, info)

    @cached_property
    def _key(self) -> hpke.MLKEM768X25519PrivateKey | X25519PrivateKey:
        x25519 = X25519PrivateKey.from_private_bytes(self._sealing[-32:])
        if self.kem == "X25519":
            return x25519
        return hpke.MLKEM768X25519PrivateKey(MLKEM768PrivateKey.from_seed_bytes(self._sealing[:-32]), x25519)

    @property
    def _sealing(self) -> bytes:
        """The HPKE key's bytes."""
        return self.data[: _PRIVATE_LENGTHS[len(self.data)][1]]
