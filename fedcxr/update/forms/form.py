"""A form in which an update travels: one object, with both halves.

What is added, judged and audited is always the same thing, the vector of ``weight * q`` in the ring of 2^32;
where a committee judges, its Merkle root is in the envelope's header. A form says two things about it: which
integers q there may be, and what bytes carry them between the hospital and whoever adds the update. Under one
weight a string of these bytes stands for one vector, and the other way round.

A kind of form is a file with a subclass of :class:`Form` and a row in ``fedcxr.update.forms.kinds``; nobody
else knows which one a federation uses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedcxr.update import fixed_point
from fedcxr.update.fixed_point import Ring
from fedcxr.update.layout import Layout, Vector

Bytes = NDArray[np.uint8]


class Form(ABC):
    """One kind of form.

    Attributes:
        name: the word of ``federation.update_form`` in the configuration.
        limit: the largest |q|.
        challengeable: whether the contract's court can add updates of this form: it adds the bytes that a
            hospital signed as they are, so that they have to be the vector itself.
    """

    name: ClassVar[str]
    limit: ClassVar[int] = fixed_point.LIMIT
    challengeable: ClassVar[bool] = False

    def exponents(self, layout: Layout, base: Vector, last_delta: Vector | None) -> tuple[int, ...]:
        """The fixed point's exponents of a round, see :func:`fedcxr.update.fixed_point.choose_exponents`."""
        return fixed_point.choose_exponents(layout, base, last_delta, self.limit)

    def encode(
        self, delta: Vector, layout: Layout, exponents: Sequence[int], weight: int, seed: int
    ) -> tuple[Ring, int]:
        """A delta as the weighted vector of the ring, **in place**, and how many of its values saturated.

        Args:
            delta: float32, (layout.size,); its content is lost.
            layout: the tensors' places.
            exponents: one per tensor.
            weight: of the hospital.
            seed: of whatever is drawn; the same one gives the same update.

        Raises:
            NonFiniteError, LayoutError: see :func:`fedcxr.update.fixed_point.encode`.
        """
        return fixed_point.encode(delta, layout, exponents, weight, limit=self.limit)

    @property
    def header(self) -> dict[str, str]:
        """What an envelope's header says of the form that is in it; nothing of the plain one."""
        return {"form": self.name}

    @abstractmethod
    def longest(self, values: int) -> int:
        """The most bytes that carry so many values: a reader takes no more."""

    @abstractmethod
    def carry(self, update: Ring, weight: int) -> Bytes:
        """The bytes that carry an update, uint8; they may share its memory.

        Args:
            update: uint32 (n,), contiguous, with its hospital's weight in it.
            weight: of the hospital.

        Raises:
            LayoutError: it is no multiple of the weight, or out of the form's range.
        """

    @abstractmethod
    def room(self, size: int, out: Ring | None) -> Bytes:
        """Memory to read ``size`` bytes of :meth:`carry` into, for :meth:`restore`.

        Args:
            size: of the bytes that came, which whoever calls this has bounded.
            out: uint32 (n,), where the update is to be in the end, if that is known.

        Raises:
            LayoutError: so many bytes carry no update for ``out``.
        """

    @abstractmethod
    def restore(self, data: Bytes, values: int, weight: int, out: Ring | None) -> Ring:
        """The update that bytes carry, uint32 (n,): there is one string of bytes for it, and this is it.

        Args:
            data: what :meth:`room` gave, filled.
            values: that the layout has; more memory than they need is not taken.
            weight: of the hospital.
            out: as :meth:`room` got it; it is returned where it is used.

        Raises:
            LayoutError: they carry none, or are not the ones that carry it.
        """
