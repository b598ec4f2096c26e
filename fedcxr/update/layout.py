"""The layout: a state dict's floating tensors as one float32 vector, ordered by name.

The architecture is pinned by the layout's digest when the federation starts. Counters
(``num_batches_tracked``) never travel: averaging them means nothing, and they would become floats.

Where only some of the tensors are trained, only they travel. The others are those that the model was created
with, the same at every hospital; the layout holds their digest, so that a hospital whose own differ is told.
With ``model.norm = "local"`` BatchNorm's tensors are neither: each hospital has its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from fedcxr import json_text
from fedcxr.errors import LayoutError
from fedcxr.update import merkle

if TYPE_CHECKING:  # an audit has no use for torch, and starts without it
    import torch

Vector = NDArray[np.float32]
LONGEST = json_text.LONGEST
"""Bytes of a layout's JSON."""
MOST_VALUES = 1 << 29
"""Values of a layout, 2 GB: twenty times our largest model."""

_MOST_TENSORS = 1 << 16
_MOST_DIMENSIONS = 8  # of a tensor; a convolution's weight has 4
_LONGEST_NAME = 256  # characters
_FORMAT, _TYPE = "fedcxr/layout/1", "float32"
_DIGEST = re.compile(r"(?:[0-9a-f]{64})?")


@dataclass(frozen=True)
class TensorSpec:
    """One tensor's place in the vector.

    Attributes:
        statistic: a normalisation statistic (a buffer), not a parameter: its values follow the data's
            scale and not the optimiser's steps.
        nonnegative: a variance; rounding may carry a tiny one below zero, where its square root is NaN,
            so that it is clamped at zero when an aggregate is applied.
    """

    name: str
    shape: tuple[int, ...]
    statistic: bool
    nonnegative: bool

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """The tensors that travel, in the vector's order.

    Attributes:
        frozen: Merkle root, in hex, of the values that neither travel nor are a hospital's own, float32,
            little endian, tensor after tensor in the order of their names; empty where there are none.
    """

    tensors: tuple[TensorSpec, ...]
    frozen: str = ""

    @classmethod
    def of(
        cls,
        model: torch.nn.Module,
        *,
        trained: Collection[str] | None = None,
        local: Collection[str] = (),
    ) -> Self:
        """The layout of a module's state dict.

        Args:
            model: as it was created: what does not travel stays as it is there.
            trained: names of the tensors that travel; None: all.
            local: names of those that stay at the hospitals, each hospital's its own.

        Raises:
            LayoutError: a floating tensor is not float32, or none travels.
        """
        import torch

        parameters = {name for name, _ in model.named_parameters()}
        specs, still = [], []
        for name, tensor in sorted(model.state_dict().items()):
            if not tensor.is_floating_point():
                continue
            if tensor.dtype != torch.float32:
                raise LayoutError(f"{name} is {tensor.dtype}: a federation's tensors are float32.")
            if name in local:
                continue
            if trained is not None and name not in trained:
                still.append(tensor)
                continue
            statistic = name not in parameters
            specs.append(TensorSpec(name, tuple(tensor.shape), statistic, name.endswith("running_var")))
        if not specs:
            raise LayoutError("the model has no floating tensor: there is nothing to aggregate.")
        return cls(tuple(specs), _digest(still).hex() if still else "")

    @property
    def size(self) -> int:
        """Number of float32 values in the vector."""
        return sum(spec.size for spec in self.tensors)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Each tensor's place in the vector, in order."""
        ends = list(accumulate(spec.size for spec in self.tensors))
        return tuple(slice(end - spec.size, end) for spec, end in zip(self.tensors, ends, strict=True))

    def to_json(self) -> str:
        """Canonical JSON; its Merkle root is :attr:`digest`."""
        rows = [[s.name, list(s.shape), _TYPE, s.statistic, s.nonnegative] for s in self.tensors]
        tree: dict[str, object] = {"format": _FORMAT, "tensors": rows}
        if self.frozen:
            tree["frozen"] = self.frozen
        return json.dumps(tree, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read :meth:`to_json` back.

        Raises:
            LayoutError: not a layout, or one of more than any model has.
        """
        try:
            tree = json_text.parse(text, LONGEST)
            if tree.get("format") != _FORMAT:
                raise ValueError(f"format = {tree.get('format')!r:.80}")  # noqa: TRY301
            rows, frozen = tree["tensors"], tree.get("frozen", "")
            if not isinstance(frozen, str) or not _DIGEST.fullmatch(frozen):
                raise ValueError(f"frozen = {frozen!r:.80} is no digest")  # noqa: TRY301
            if not isinstance(rows, list) or not 1 <= len(rows) <= _MOST_TENSORS:
                raise ValueError(f"tensors is no list of 1 to {_MOST_TENSORS:,}")  # noqa: TRY301
            layout = cls(tuple(map(_spec, rows)), frozen)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LayoutError(f"not a layout: {error!s:.200}") from None
        if len({spec.name for spec in layout.tensors}) != len(layout.tensors):
            raise LayoutError("not a layout: two tensors have one name")
        if layout.size > MOST_VALUES:
            raise LayoutError(f"not a layout: {layout.size:,} values, where at most {MOST_VALUES:,} are read")
        return layout

    @cached_property
    def digest(self) -> bytes:
        """Merkle root of :meth:`to_json`, 32 bytes."""
        return merkle.root(self.to_json().encode())

    def flatten(self, state: Mapping[str, torch.Tensor], out: Vector | None = None) -> Vector:
        """Concatenate the tensors of ``state`` into a float32 vector of :attr:`size` values.

        Raises:
            LayoutError: a tensor is missing, or has another shape or dtype than the layout says.
        """
        import torch

        vector = np.empty(self.size, np.float32) if out is None else out
        target = torch.from_numpy(vector)
        for spec, place in zip(self.tensors, self.slices, strict=True):
            tensor = state.get(spec.name)
            if tensor is None:
                raise LayoutError(f"{spec.name}: missing from the state.")
            if tuple(tensor.shape) != spec.shape or tensor.dtype != torch.float32:
                found = f"{tensor.dtype} {tuple(tensor.shape)}"
                raise LayoutError(f"{spec.name}: {found}, but the layout says float32 {spec.shape}.")
            target[place].view(spec.shape).copy_(tensor.detach())
        return vector

    def join(self, arrays: Mapping[str, NDArray[Any]]) -> Vector:
        """:meth:`flatten` for arrays.

        Raises:
            LayoutError: an array is missing, or has another shape or dtype than the layout says.
        """
        vector = np.empty(self.size, np.float32)
        for spec, place in zip(self.tensors, self.slices, strict=True):
            array = arrays.get(spec.name)
            if array is None:
                raise LayoutError(f"{spec.name}: missing from the state.")
            if array.shape != spec.shape or array.dtype != np.float32:
                found = f"{array.dtype} {array.shape}"
                raise LayoutError(f"{spec.name}: {found}, but the layout says float32 {spec.shape}.")
            vector[place] = array.reshape(-1)
        return vector

    def load(self, vector: Vector, model: torch.nn.Module) -> None:
        """Copy a vector into a module's tensors; counters are left alone.

        Raises:
            LayoutError: the vector's length or the module's tensors do not fit.
        """
        import torch

        self.check(vector)
        state = model.state_dict()
        with torch.no_grad():
            for spec, place in zip(self.tensors, self.slices, strict=True):
                if spec.name not in state or tuple(state[spec.name].shape) != spec.shape:
                    raise LayoutError(f"{spec.name}: the model has no such tensor of shape {spec.shape}.")
                self._fill(state[spec.name], vector[place].reshape(spec.shape))

    @staticmethod
    def _fill(tensor: torch.Tensor, values: Vector) -> None:
        if tensor.device.type == "cpu":
            np.copyto(tensor.detach().numpy(), values)
        else:  # a copy more, for torch does not take the read-only memory of a message
            import torch

            tensor.copy_(torch.from_numpy(values.copy()))

    def check(self, vector: NDArray[np.generic]) -> None:
        """Raises LayoutError unless ``vector`` is one-dimensional and of :attr:`size` values."""
        if vector.shape != (self.size,):
            raise LayoutError(f"a vector of shape {vector.shape}, but the layout has {self.size} values.")


def _spec(row: object) -> TensorSpec:
    """A tensor of a layout.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(row, list) or len(row) != 5:
        raise ValueError(f"{row!r:.80} is no tensor")
    name, shape, kind, statistic, nonnegative = row
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise ValueError(f"{name!r:.80} is no name of a tensor")
    if kind != _TYPE or type(statistic) is not bool or type(nonnegative) is not bool:
        raise ValueError(f"{name:.80}: {row[2:]!r:.80}, where {_TYPE}, and yes or no twice, are expected")
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"{name:.80}: {shape!r:.80} is no shape of at most {_MOST_DIMENSIONS} dimensions")
    if not all(type(length) is int and 0 < length <= MOST_VALUES for length in shape):
        raise ValueError(f"{name:.80}: {shape!r:.80} is no shape of positive lengths")
    return TensorSpec(name, tuple(shape), statistic, nonnegative)


def _digest(tensors: Collection[torch.Tensor]) -> bytes:
    """Merkle root of the tensors' float32 bytes, one after the other."""
    values = [tensor.detach().cpu().contiguous().numpy().reshape(-1) for tensor in tensors]
    return merkle.root(np.concatenate(values).astype("<f4", copy=False).view(np.uint8))
