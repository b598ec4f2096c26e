"""Masked updates: nobody reads one, and their sum can be unmasked (docs/secure-aggregation.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fedcxr.errors import EnvelopeError
from fedcxr.privacy.keys import EnvelopePrivateKey, EnvelopePublicKey
from fedcxr.privacy.open import plain_vector
from fedcxr.privacy.protection import Blob, Protection, ShownUpdate, UpdateContext, UpdateReader
from fedcxr.privacy.secagg.header import PAIRS, SEALED, HeaderFacts, MaskedHeader, header_leaves
from fedcxr.privacy.secagg.outgoing import OutgoingMask
from fedcxr.privacy.secagg.parameters import COMPLETE
from fedcxr.update import merkle
from fedcxr.update.fixed_point import Ring


class Masked(Protection):
    """The blob is a header of commitments (:mod:`fedcxr.privacy.secagg.header`) and the masked vector."""

    name: ClassVar[str] = "masked"
    challengeable: ClassVar[bool] = False
    unmasks: ClassVar[bool] = True
    aggregation: ClassVar[str] = "masked_sum"

    def protect(
        self,
        update: Ring,
        context: UpdateContext,
        recipients: Sequence[EnvelopePublicKey],
        *,
        shown: bool = False,
        mask: OutgoingMask | None = None,
    ) -> bytes:
        if mask is None or mask.attempt.context != context.masks or mask.attempt.values != update.size:
            raise EnvelopeError("an update is masked for one attempt, and this is none of its own.")
        header = mask.header().to_bytes()
        mask.put_on(update)
        return b"".join((header, merkle.as_bytes(update.astype("<u4", copy=False))))

    def longest_around(self, size: int) -> int:
        return longest_header() + size

    def committed_root(self, root: bytes, size: int, header: bytes, paths: bytes) -> bytes:
        raise EnvelopeError("nobody is shown an update that is masked.")

    def readers(self, keys: Sequence[EnvelopePrivateKey], *, shown: bool = False) -> list[UpdateReader]:
        return [MaskedReader()]


class MaskedReader(UpdateReader):
    """Reads the masked vector, which wants no key and says nothing; it shares the blob's memory."""

    @property
    def key_digest(self) -> bytes:
        return b""

    def read(self, blob: Blob | bytes, context: UpdateContext, out: Ring | None = None) -> Ring:
        view = np.frombuffer(blob, np.uint8)
        facts = read_header(blob).facts
        if facts.context != context.masks:
            raise EnvelopeError("it is masked for another attempt than the ledger's.")
        if facts.values != context.values:
            raise EnvelopeError(f"a vector of {facts.values} words, where the layout has {context.values}.")
        return plain_vector(view[facts.leaves * merkle.LEAF_SIZE :])

    def show(self, blob: Blob | bytes, context: UpdateContext) -> ShownUpdate:
        raise EnvelopeError("nobody is shown an update that is masked.")


def read_header(blob: Blob | bytes) -> MaskedHeader:
    """The header of a masked update.

    Raises:
        EnvelopeError: it has none, or another length than its header says.
    """
    view = merkle.as_bytes(blob)
    size = HeaderFacts.from_bytes(bytes(view[:PAIRS])).size
    if size != len(view):
        raise EnvelopeError(f"a masked update of {len(view):,} bytes, where its header has {size:,}.")
    return MaskedHeader.from_bytes(bytes(view[: longest_header()]))


def longest_header() -> int:
    """The most bytes that a header has."""
    return header_leaves(COMPLETE - 1, max(SEALED.values())) * merkle.LEAF_SIZE
