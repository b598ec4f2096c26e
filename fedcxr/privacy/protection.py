"""What protects an update between a hospital and whoever adds it: one object, with both halves.

A kind of protection is a file with a subclass of :class:`Protection` and a row in ``fedcxr.privacy.kinds``.
The hospital calls :meth:`Protection.protect`; a validator calls :meth:`Protection.committed_root`; the
coordinator, the audit and whoever challenges a round read with an :class:`UpdateReader`. Nobody else knows
which kind a federation uses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fedcxr.privacy.keys import EnvelopePrivateKey, EnvelopePublicKey
from fedcxr.privacy.secagg.outgoing import OutgoingMask
from fedcxr.update.fixed_point import Ring
from fedcxr.update.forms.form import Form
from fedcxr.update.forms.kinds import form_named

Blob = NDArray[np.uint8]
"""An update as it travels, is signed and is stored, where it was read: uint8 (bytes,)."""


@dataclass(frozen=True)
class UpdateContext:
    """The one place that an update is protected for; in any other it cannot be read.

    Attributes:
        federation: hex id of the federation.
        round: 1-based.
        hospital: ledger address, checksummed.
        layout: hex digest of the layout.
        values: that the layout has.
        weight: of the hospital in the round, as the contract has it.
        masks: context of the masked attempt, 32 bytes; empty where nothing is masked.
    """

    federation: str
    round: int
    hospital: str
    layout: str
    values: int
    weight: int
    masks: bytes = b""

    @property
    def place(self) -> dict[str, str | int]:
        """What an update is bound to; its length and its weight follow from that."""
        return {
            "federation": self.federation,
            "round": self.round,
            "hospital": self.hospital,
            "layout": self.layout,
        }


@dataclass(frozen=True)
class ShownUpdate:
    """An update in the clear, with what proves that its hospital committed to it.

    Attributes:
        update: uint32 (n,), the weighted update.
        header: the first leaves of the blob, where the blob is not the update itself; empty otherwise.
        paths: Merkle audit paths of the header's leaves, one after the other.
    """

    update: Ring
    header: bytes = b""
    paths: bytes = b""


class UpdateReader(ABC):
    """Reads the blobs of one federation, with one key or with none."""

    @property
    @abstractmethod
    def key_digest(self) -> bytes:
        """SHA-256 of the public key that it reads with; empty where everybody reads the same."""

    @abstractmethod
    def read(self, blob: Blob | bytes, context: UpdateContext, out: Ring | None = None) -> Ring:
        """The update that a blob holds.

        Args:
            blob: as :meth:`Protection.protect` returned it.
            context: what it must have been protected for.
            out: uint32 (n,), a buffer to read into. The result may share memory with it or with ``blob``.

        Returns:
            uint32 (n,); of the plain form, of whatever length its hospital committed to.

        Raises:
            EnvelopeError: it cannot be read: malformed, changed, for another context or another reader.
        """

    @abstractmethod
    def show(self, blob: Blob | bytes, context: UpdateContext) -> ShownUpdate:
        """The update that a blob holds, with the proof that a validator holds it to.

        Raises:
            EnvelopeError: as :meth:`read`.
        """


@dataclass(frozen=True)
class Protection(ABC):
    """One kind of protection, of updates in one form.

    Attributes:
        name: the word of ``privacy.envelope`` in the configuration.
        challengeable: whether everybody can read every update, so that the contract's court can hold an
            aggregate to the updates' sum. The aggregate's bytes are then published beside the updates.
        forms: in which an update may travel: the federation's, or several where a reader does not know it.
            An update is protected in the first.
    """

    name: ClassVar[str]
    challengeable: ClassVar[bool]
    unmasks: ClassVar[bool] = False
    aggregation: ClassVar[str] = "weighted_sum"
    forms: tuple[Form, ...] = (form_named("plain"),)

    def of(self, *forms: Form) -> Self:
        """The same protection of updates in another form."""
        return replace(self, forms=forms)

    def longest(self, values: int) -> int:
        """The most bytes that a blob of an update of so many values has: a reader takes no more."""
        return self.longest_around(max(form.longest(values) for form in self.forms))

    @abstractmethod
    def protect(
        self,
        update: Ring,
        context: UpdateContext,
        recipients: Sequence[EnvelopePublicKey],
        *,
        shown: bool = False,
        mask: OutgoingMask | None = None,
    ) -> bytes:
        """An update as it leaves its hospital.

        Args:
            update: uint32 (n,), contiguous, with its hospital's weight in it.
            context: where it may be read.
            recipients: who may read it.
            shown: whether validators will be shown it, with the proof that its hospital committed to it.
            mask: of the attempt, where updates are masked; ``update`` is then changed.

        Raises:
            EnvelopeError: it cannot be protected for these recipients, or wants a mask.
        """

    @abstractmethod
    def longest_around(self, size: int) -> int:
        """The most bytes that a blob has around so many bytes of an update."""

    @abstractmethod
    def committed_root(self, root: bytes, size: int, header: bytes, paths: bytes) -> bytes:
        """The Merkle root of the update itself, as its hospital committed to it by signing the blob's root.

        Args:
            root: of the blob, 32 bytes, as the contract accepted it.
            size: of the blob, in bytes.
            header: as :class:`ShownUpdate` has it.
            paths: likewise.

        Raises:
            EnvelopeError: the header is not that of what the hospital signed.
        """

    @abstractmethod
    def readers(self, keys: Sequence[EnvelopePrivateKey], *, shown: bool = False) -> list[UpdateReader]:
        """One reader for each key, in their order, or the one reader that needs none.

        Args:
            keys: those at hand; may be empty, and then nobody here reads what wants a key.
            shown: whether they read nothing that could not be shown to validators.
        """
