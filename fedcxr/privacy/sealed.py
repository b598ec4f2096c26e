"""Sealed updates: an envelope that the coordinator opens and, if there is one, the auditor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fedcxr.errors import EnvelopeError
from fedcxr.privacy.envelope import header_of, longest_envelope, open_envelope, payload_root_of, seal
from fedcxr.privacy.keys import EnvelopePrivateKey, EnvelopePublicKey
from fedcxr.privacy.protection import Blob, Protection, ShownUpdate, UpdateContext, UpdateReader
from fedcxr.privacy.secagg.outgoing import OutgoingMask
from fedcxr.update import merkle
from fedcxr.update.fixed_point import Ring
from fedcxr.update.forms.form import Form


class Sealed(Protection):
    """The blob is an envelope (:mod:`fedcxr.privacy.envelope`)."""

    name: ClassVar[str] = "sealed"
    challengeable: ClassVar[bool] = False

    def protect(
        self,
        update: Ring,
        context: UpdateContext,
        recipients: Sequence[EnvelopePublicKey],
        *,
        shown: bool = False,
        mask: OutgoingMask | None = None,
    ) -> bytes:
        return seal(update, context, recipients, self.forms[0], shown=shown)

    def longest_around(self, size: int) -> int:
        return longest_envelope(size)

    def committed_root(self, root: bytes, size: int, header: bytes, paths: bytes) -> bytes:
        if not merkle.is_prefix(header, paths, size, root):
            raise EnvelopeError("the header is not that of what its hospital signed.")
        return payload_root_of(header)

    def readers(self, keys: Sequence[EnvelopePrivateKey], *, shown: bool = False) -> list[UpdateReader]:
        return [SealedReader(key, self.forms, shown=shown) for key in keys]


class SealedReader(UpdateReader):
    """Opens the envelopes that are sealed to one key."""

    def __init__(self, key: EnvelopePrivateKey, forms: Sequence[Form], *, shown: bool) -> None:
        self._key = key
        self._forms = forms
        self._shown = shown

    @property
    def key_digest(self) -> bytes:
        return self._key.public.digest

    def read(self, blob: Blob | bytes, context: UpdateContext, out: Ring | None = None) -> Ring:
        return open_envelope(blob, context, self._key, out=out, forms=self._forms, shown=self._shown)

    def show(self, blob: Blob | bytes, context: UpdateContext) -> ShownUpdate:
        header = header_of(blob)
        return ShownUpdate(self.read(blob, context), header, merkle.prefix_paths(blob, len(header)))
