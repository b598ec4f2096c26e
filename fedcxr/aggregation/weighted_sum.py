"""The weighted sum of a round, streamed: one buffer for the sum, one for the update being added.

The engine and the audit both aggregate through this file, so that what is recomputed is what was computed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.errors import LayoutError
from fedcxr.privacy.envelope import EnvelopeContext, open_envelope, plain_update
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.update import fixed_point, merkle
from fedcxr.update.fixed_point import Ring
from fedcxr.update.layout import Layout, Vector


class WeightedSum:
    """Σ w·q over hospitals, in the ring of 2^32.

    Memory is two buffers of the layout's size, whatever the number of hospitals.
    """

    def __init__(self, layout: Layout, total: Ring | None = None) -> None:
        """An empty sum, or one that goes on.

        Args:
            layout: of the updates.
            total: the buffer to add into, uint32 (layout.size,); processes may share it, one at a time.
        """
        self.layout = layout
        self.weight = 0  # of all that was added
        self._total: Ring = np.zeros(layout.size, np.uint32) if total is None else total
        self._payload: Ring | None = None

    def add_blob(
        self,
        blob: NDArray[np.uint8] | bytes,
        context: EnvelopeContext,
        key: EnvelopePrivateKey | None,
        weight: int,
    ) -> None:
        """Open an update as it is stored, and add it.

        Args:
            blob: a sealed envelope, or the plain vector where updates are not sealed.
            context: what it must have been sealed for.
            key: a recipient's; None where updates are not sealed.
            weight: of its hospital.

        Raises:
            EnvelopeError: it does not open.
            LayoutError: its values are out of the range of ``weight``.
        """
        if key is None:
            self.add(plain_update(blob), weight)
            return
        if self._payload is None:
            self._payload = np.empty(self.layout.size, np.uint32)
        self.add(open_envelope(blob, context, key, out=self._payload), weight)

    def add(self, update: Ring, weight: int) -> None:
        """Add an update that already carries its weight.

        Raises:
            LayoutError: wrong length, out of range, or more weight than the ring has room for.
        """
        self.layout.check(update)
        if self.weight + weight > fixed_point.WEIGHT_SUM:
            raise LayoutError(f"weights sum to {self.weight + weight}, above {fixed_point.WEIGHT_SUM}.")
        fixed_point.check_range(update, weight)
        np.add(self._total, update, out=self._total)
        self.weight += weight

    @property
    def total(self) -> Ring:
        """The sum so far, uint32 (layout.size,); not a copy."""
        return self._total

    @property
    def root(self) -> bytes:
        """Merkle root of the sum's little-endian bytes: the aggregate's root on the ledger."""
        return merkle.root(self._total.astype("<u4", copy=False))

    def model(self, base: Vector, exponents: Sequence[int]) -> Vector:
        """The next model, float32 (layout.size,).

        Raises:
            LayoutError: nothing was added.
        """
        if self.weight == 0:
            raise LayoutError("nothing was added to the sum.")
        return fixed_point.apply(base, self._total, self.layout, exponents, self.weight)
