"""One ciphertext that two keys open, each with a good tag: what an envelope's commitments are there for.

AES-GCM's tag is a polynomial in a point that the key gives, so one block of the ciphertext can be chosen such
that two keys give the same tag (Dodis, Grubbs, Ristenpart and Woodage, CRYPTO 2018).
"""

from __future__ import annotations

import hashlib
from base64 import b64encode

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedcxr.errors import EnvelopeError
from fedcxr.privacy import envelope
from fedcxr.privacy.envelope import open_envelope
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.privacy.protection import UpdateContext

CONTEXT = UpdateContext(
    federation="ab" * 32, round=2, hospital="0x" + "11" * 20, layout="cd" * 32, values=5000, weight=1
)
BLOCKS = 6
NONCE = bytes(12)
KEYS = bytes([1] * 32), bytes([2] * 32)
_POLYNOMIAL = 0xE1 << 120  # NIST SP 800-38D, section 6.3


def times(x: int, y: int) -> int:
    """Product in GCM's field, whose bits are in reverse order."""
    product = 0
    for k in range(127, -1, -1):
        if x >> k & 1:
            product ^= y
        y = y >> 1 ^ (_POLYNOMIAL if y & 1 else 0)
    return product


def power(x: int, exponent: int) -> int:
    product = 1 << 127  # one
    for k in range(exponent.bit_length() - 1, -1, -1):
        product = times(product, product)
        if exponent >> k & 1:
            product = times(product, x)
    return product


def encrypted(key: bytes, block: bytes) -> int:
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return int.from_bytes(cipher.update(block) + cipher.finalize())


def blocks_of(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 16]) for i in range(0, len(data), 16)]


def tag(key: bytes, header: bytes, ciphertext: bytes) -> int:
    point, total = encrypted(key, bytes(16)), 0
    lengths = (8 * len(header) << 64) | 8 * len(ciphertext)
    for block in [*blocks_of(header), *blocks_of(ciphertext), lengths]:
        total = times(total ^ block, point)
    return total ^ encrypted(key, NONCE + (1).to_bytes(4))


def ambiguous(header: bytes) -> bytes:
    """A ciphertext and a tag that both keys take, under a header of whole blocks."""
    ciphertext = bytearray(16 * BLOCKS)
    apart = tag(KEYS[0], header, ciphertext) ^ tag(KEYS[1], header, ciphertext)
    # The last block is multiplied by the point twice: once with the lengths' block after it.
    point, other = (power(encrypted(key, bytes(16)), 2) for key in KEYS)
    ciphertext[-16:] = times(apart, power(point ^ other, 2**128 - 2)).to_bytes(16)
    return bytes(ciphertext) + tag(KEYS[0], header, ciphertext).to_bytes(16)


def two_faced(readers: list[EnvelopePrivateKey], commitment: dict[str, str], magic: bytes) -> bytes:
    """A blob that gives each reader a key of its own."""
    info = envelope._info(CONTEXT, magic)
    sealed = {
        r.public.digest.hex(): b64encode(r.public.seal(key, info)).decode()
        for r, key in zip(readers, KEYS, strict=True)
    }
    tree = {**CONTEXT.place, **commitment, "payload_size": 16 * BLOCKS, "recipients": sealed}
    header = envelope._pad(envelope._canonical(tree), magic)
    return header + ambiguous(header)


def plaintexts(blob: bytes) -> list[bytes]:
    end = len(blob) - 16 * BLOCKS - 16
    return [AESGCM(key).decrypt(NONCE, blob[end:], blob[:end]) for key in KEYS]


@pytest.fixture
def readers() -> list[EnvelopePrivateKey]:
    return [EnvelopePrivateKey.generate("X25519") for _ in KEYS]


def test_a_key_is_committed_to_so_two_readers_cannot_be_told_two_things(
    readers: list[EnvelopePrivateKey],
) -> None:
    blob = two_faced(readers, {"key_digest": envelope._key_digest(KEYS[0])}, b"fedcxr/envelope/2\n")
    first, second = plaintexts(blob)  # AES-GCM takes it under either key
    assert first != second
    assert open_envelope(blob, CONTEXT, readers[0]).tobytes() == first
    with pytest.raises(EnvelopeError, match="its key is not the one that its header commits to"):
        open_envelope(blob, CONTEXT, readers[1])


def test_an_envelope_of_the_first_kind_is_held_to_the_root_of_its_plaintext(
    readers: list[EnvelopePrivateKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root is in the header, which the tag covers: here it is that of what the first reader gets."""
    magic, root = b"fedcxr/envelope/1\n", hashlib.sha256(b"root").hexdigest()
    blob = two_faced(readers, {"payload_root": root}, magic)
    first, second = plaintexts(blob)
    roots = {first: bytes.fromhex(root), second: bytes(32)}
    monkeypatch.setattr("fedcxr.privacy.envelope.merkle.root", lambda data: roots[np.asarray(data).tobytes()])
    assert open_envelope(blob, CONTEXT, readers[0]).tobytes() == first
    with pytest.raises(EnvelopeError, match="its plaintext is not the one that its header commits to"):
        open_envelope(blob, CONTEXT, readers[1])
