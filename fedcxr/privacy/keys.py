"""HPKE keys as bytes: what a hospital's disk and the ledger hold.

The hybrid KEM's public key is ML-KEM-768 (1,184 bytes) followed by X25519 (32 bytes); the private key is the
ML-KEM seed (64 bytes) followed by the X25519 scalar (32 bytes). Keys of the two KEMs differ in length, so
that a key says which it is for.
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
_PUBLIC_LENGTHS: dict[int, KemName] = {1184 + 32: "MLKEM768_X25519", 32: "X25519"}
_PRIVATE_LENGTHS: dict[int, KemName] = {64 + 32: "MLKEM768_X25519", 32: "X25519"}


def suite(kem: KemName) -> hpke.Suite:
    """The HPKE suite of RFC 9180: the KEM with HKDF-SHA256 and AES-256-GCM."""
    return hpke.Suite(_KEMS[kem], hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@dataclass(frozen=True)
class EnvelopePublicKey:
    """Whom an envelope is sealed to.

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
        return _PUBLIC_LENGTHS[len(self.data)]

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the key's bytes, as the ledger holds it."""
        return hashlib.sha256(self.data).digest()

    def seal(self, secret: bytes, info: bytes) -> bytes:
        """Encapsulated key and ciphertext of a short secret."""
        return suite(self.kem).encrypt(secret, self._key, info)

    @cached_property
    def _key(self) -> hpke.MLKEM768X25519PublicKey | X25519PublicKey:
        try:
            x25519 = X25519PublicKey.from_public_bytes(self.data[-32:])
            if self.kem == "X25519":
                return x25519
            return hpke.MLKEM768X25519PublicKey(MLKEM768PublicKey.from_public_bytes(self.data[:-32]), x25519)
        except ValueError as error:
            raise EnvelopeError(f"not a public key: {error}") from None


@dataclass(frozen=True, repr=False)
class EnvelopePrivateKey:
    """Who opens an envelope. Never printed; written only by the key's owner.

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
    def generate(cls, kem: KemName) -> Self:
        """A fresh key from the operating system's randomness."""
        x25519 = X25519PrivateKey.generate().private_bytes_raw()
        return cls(x25519 if kem == "X25519" else MLKEM768PrivateKey.generate().private_bytes_raw() + x25519)

    @property
    def kem(self) -> KemName:
        return _PRIVATE_LENGTHS[len(self.data)]

    @cached_property
    def public(self) -> EnvelopePublicKey:
        x25519 = X25519PrivateKey.from_private_bytes(self.data[-32:]).public_key().public_bytes_raw()
        if self.kem == "X25519":
            return EnvelopePublicKey(x25519)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(self.data[:-32]).public_key().public_bytes_raw()
        return EnvelopePublicKey(mlkem + x25519)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """The secret that :meth:`EnvelopePublicKey.seal` sealed under the same ``info``.

        Raises:
            cryptography.exceptions.InvalidTag, ValueError: another key, another info, changed bytes.
        """
        return suite(self.kem).decrypt(sealed, self._key, info)

    @cached_property
    def _key(self) -> hpke.MLKEM768X25519PrivateKey | X25519PrivateKey:
        x25519 = X25519PrivateKey.from_private_bytes(self.data[-32:])
        if self.kem == "X25519":
            return x25519
        return hpke.MLKEM768X25519PrivateKey(MLKEM768PrivateKey.from_seed_bytes(self.data[:-32]), x25519)
