"""Seeds of masks, and what a hospital commits to them by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedcxr.errors import FederationError

LENGTH = 32
"""Bytes of a seed, of a context and of a commitment."""


@dataclass(frozen=True)
class Participant:
    """Who takes part in a masked attempt.

    Attributes:
        seat: on the ledger, below 65,536.
        address: of its account, 20 bytes.
    """

    seat: int
    address: bytes


def tag(words: str) -> bytes:
    """What tells one use of a hash from all others: ASCII, filled with zero bytes to 32."""
    return words.encode("ascii").ljust(LENGTH, b"\0")


def pair_seed(
    own: X25519PrivateKey, me: Participant, other: Participant, mask_key: bytes, context: bytes
) -> bytes:
    """The seed that two participants share, 32 bytes; both of them compute the same.

    Args:
        own: mask key of ``me``.
        me: one end.
        other: the other end.
        mask_key: its public mask key, 32 bytes.
        context: digest of the attempt.

    Raises:
        FederationError: the other's mask key is none: it gives every key the same secret (RFC 7748).
    """
    if me.seat == other.seat:
        raise FederationError(f"seat {me.seat} has no seed with itself.")
    try:
        secret = own.exchange(X25519PublicKey.from_public_bytes(mask_key))
    except ValueError:
        raise FederationError(f"the mask key of seat {other.seat} is none.") from None
    low, high = sorted((me, other), key=lambda participant: participant.seat)
    info = tag("fedcxr/masked/pair/1") + _seats(low.seat, high.seat) + low.address + high.address
    return HKDF(SHA256(), LENGTH, salt=context, info=info).derive(secret)


def require_mask_key(mask_key: bytes) -> None:
    """See that bytes are a public mask key.

    Raises:
        FederationError: they are none, or of low order: they give every key the same secret (RFC 7748).
    """
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(mask_key))
    except ValueError:
        raise FederationError("it has no mask key, or one that is none: it cannot take part.") from None


def self_commitment(context: bytes, seat: int, seed: bytes) -> bytes:
    """What a hospital commits to its self-mask's seed by."""
    return _commitment("fedcxr/masked/self/commit/1", context, _seats(seat), seed)


def pair_commitment(context: bytes, one: int, other: int, seed: bytes) -> bytes:
    """What both ends of a pair commit to its seed by: seats in any order."""
    return _commitment("fedcxr/masked/pair/commit/1", context, _seats(*sorted((one, other))), seed)


def share_commitment(context: bytes, owner: int, holder: int, share: bytes) -> bytes:
    """What the owner of a self-mask commits to one holder's share of its seed by."""
    return _commitment("fedcxr/masked/share/commit/1", context, _seats(owner, holder), share)


def share_info(context: bytes, owner: int, holder: int) -> bytes:
    """HPKE's info of a share that an owner seals to a holder."""
    return tag("fedcxr/masked/share/seal/1") + context + _seats(owner, holder)


def _commitment(use: str, context: bytes, seats: bytes, secret: bytes) -> bytes:
    return hashlib.sha256(tag(use) + context + seats + secret).digest()


def _seats(*seats: int) -> bytes:
    return b"".join(seat.to_bytes(2) for seat in seats)
