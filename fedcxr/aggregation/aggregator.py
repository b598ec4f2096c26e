"""What makes one sum of a round's updates, for the engine and for the audit alike.

A kind of aggregation is a file with a subclass of :class:`Aggregator` and a row in
``fedcxr.aggregation.kinds``. Updates pass three steps, and each is a pure function of the updates, their
weights and the layout, so that whoever can read the updates replays it:

1. :meth:`Aggregator.screen` looks at an update by itself.
2. :meth:`Aggregator.left_out` compares what :meth:`Aggregator.measure` took of each, where the kind compares.
3. :meth:`Aggregator.add` adds, in the ring of 2^32, so that the order of arrival changes no bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedcxr.errors import LayoutError
from fedcxr.update import merkle
from fedcxr.update.fixed_point import Ring
from fedcxr.update.layout import Layout, Vector

Measurement = NDArray[np.float64]
"""What is kept of an update while it is compared with the others, float64 (k,), k being small."""


class Aggregator(ABC):
    """One round's sum. Memory is one buffer of the layout's size, whatever the number of hospitals.

    Attributes:
        compares: whether every update is measured before any is added; each is then read twice.
        layout: of the updates.
        weight: of all that was added.
    """

    compares: ClassVar[bool] = False

    def __init__(self, layout: Layout, total: Ring | None = None) -> None:
        """Begin an empty sum, or go on with one.

        Args:
            layout: of the updates.
            total: the buffer to add into, uint32 (layout.size,); processes may share it, one at a time.
        """
        self.layout = layout
        self.weight = 0
        self._total: Ring = np.zeros(layout.size, np.uint32) if total is None else total

    @abstractmethod
    def screen(self, update: Ring, weight: int) -> None:
        """Refuse an update that may not enter the sum, whatever the others are.

        Args:
            update: uint32, with its hospital's weight in it.
            weight: of its hospital.

        Raises:
            LayoutError: why it may not.
        """

    def measure(self, update: Ring, weight: int) -> Measurement:
        """What the comparison needs of an update that passed :meth:`screen`."""
        return np.empty(0)

    def left_out(self, measured: Mapping[str, Measurement]) -> dict[str, str]:
        """Which of a round's updates are left out of the sum, and why.

        Args:
            measured: by hospital; of every update that counts and that passed :meth:`screen`.

        Returns:
            Reasons by hospital, as they go on the ledger.
        """
        return {}

    @abstractmethod
    def add(self, update: Ring, weight: int) -> None:
        """Add an update that already carries its weight, once it passes :meth:`screen`.

        Raises:
            LayoutError: it does not pass, or there is no room for its weight; the sum is as it was.
        """

    @abstractmethod
    def remove(self, update: Ring, weight: int) -> None:
        """Take an update that was added out of the sum again, exactly."""

    def unmask(self, added: Sequence[bytes], taken_off: Sequence[bytes]) -> None:
        """Take the masks of masked updates off their sum, **in place**.

        Args:
            added: seeds of masks that the updates have in them.
            taken_off: seeds of masks that were taken off them.

        Raises:
            LayoutError: the updates were not masked, or what is left is no sum of updates.
        """
        raise LayoutError("nothing was masked, and there is nothing to unmask.")

    @abstractmethod
    def model(self, base: Vector, exponents: Sequence[int]) -> Vector:
        """The next model, float32 (layout.size,).

        Args:
            base: the round's, float32 (layout.size,).
            exponents: of the round's configuration, one per tensor.

        Raises:
            LayoutError: nothing was added, or the exponents do not fit.
        """

    @property
    def total(self) -> Ring:
        """The sum so far, uint32 (layout.size,); not a copy."""
        return self._total

    @property
    def root(self) -> bytes:
        """Merkle root of the sum's little-endian bytes: the aggregate's root on the ledger."""
        return merkle.root(self._total.astype("<u4", copy=False))
