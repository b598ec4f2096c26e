"""Open updates, for public data: the blob is the update, and anybody can add it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fedcxr.errors import EnvelopeError
from fedcxr.privacy.keys import EnvelopePrivateKey, EnvelopePublicKey
from fedcxr.privacy.protection import Blob, Protection, ShownUpdate, UpdateContext, UpdateReader
from fedcxr.privacy.secagg.outgoing import OutgoingMask
from fedcxr.update import merkle
from fedcxr.update.fixed_point import Ring


class Open(Protection):
    """The blob is the little-endian bytes of the update; its root is the update's."""

    name: ClassVar[str] = "open"
    challengeable: ClassVar[bool] = True

    def protect(
        self,
        update: Ring,
        context: UpdateContext,
        recipients: Sequence[EnvelopePublicKey],
        *,
        shown: bool = False,
        mask: OutgoingMask | None = None,
    ) -> bytes:
        return update.astype("<u4", copy=False).tobytes()

    def longest_around(self, size: int) -> int:
        return size

    def committed_root(self, root: bytes, size: int, header: bytes, paths: bytes) -> bytes:
        return root

    def readers(self, keys: Sequence[EnvelopePrivateKey], *, shown: bool = False) -> list[UpdateReader]:
        return [OpenReader()]


class OpenReader(UpdateReader):
    """Reads what is not sealed; the result shares the blob's memory."""

    @property
    def key_digest(self) -> bytes:
        return b""

    def read(self, blob: Blob | bytes, context: UpdateContext, out: Ring | None = None) -> Ring:
        return plain_vector(blob)

    def show(self, blob: Blob | bytes, context: UpdateContext) -> ShownUpdate:
        return ShownUpdate(plain_vector(blob))


def plain_vector(blob: Blob | bytes) -> Ring:
    """Bytes that nothing protects as the vector that they are, uint32 (n,); shares their memory.

    Raises:
        EnvelopeError: not a whole number of values.
    """
    view = merkle.as_bytes(blob)
    if len(view) % 4:
        raise EnvelopeError(f"{len(view)} bytes are no vector of 32-bit integers.")
    return np.frombuffer(view, "<u4").astype(np.uint32, copy=False)
