"""Fixed point: float32 deltas as weighted integers in the ring of 2^32.

Integers add to the same bits in any order, on any machine, with or without masks. A delta is scaled by a
power of two (exact in float32), rounded to the nearest integer, held within ``±LIMIT`` and multiplied by the
hospital's integer weight. The contract's weights sum to at most ``WEIGHT_SUM``, so that the sum over all
hospitals stays within a signed 32-bit integer and can be read back from the ring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, frexp

import numpy as np
from numpy.typing import NDArray

from fedcxr.errors import LayoutError, NonFiniteError
from fedcxr.update.layout import Layout, TensorSpec, Vector

WEIGHT_SUM = 4096  # the contract's bound on the sum of a round's weights
LIMIT = (2**31 - 1) // WEIGHT_SUM  # 524,287: the largest |q|, 20 bits with its sign
Ring = NDArray[np.uint32]

_PARAMETER_FLOOR = 1.0  # range of a parameter's first delta: AdamW at 1e-3 moves one by less in 1,000 steps
# Statistics start at 0 and 1 and go to where the data are; after residual sums variances reach hundreds.
# The coarse first step does no harm: later rounds, whose scale follows the last aggregate, write them anew.
_MEAN_FLOOR = 64.0
_VARIANCE_FLOOR = 2048.0
_HEADROOM = 16.0  # later rounds: times the largest entry of the last aggregate
# A schedule that begins again, as the second phase's does, moves by more than 16 times its end's steps.
_LATER_FLOOR = 2.0**-5
_EXPONENTS = (-8, 40)


def later_exponents(limit: int = LIMIT) -> range:
    """Exponents of a tensor that the round before has moved, however far."""
    return range(_EXPONENTS[0], frexp(limit / _LATER_FLOOR)[1])


def choose_exponents(
    layout: Layout, base: Vector, last_delta: Vector | None, limit: int = LIMIT
) -> tuple[int, ...]:
    """A power-of-two exponent for each tensor, from public values only.

    The first round has only the model to go by; later rounds use the last aggregate's largest entry, which
    every participant can compute from two consecutive models. A tensor that the last round did not move may
    have been left out of it (``federation.pretrain_rounds``, ``training.strategy``): it is scaled anew.

    Args:
        layout: of both vectors.
        base: the round's base model.
        last_delta: base minus the model before it; None in the first round.
        limit: the largest |q| that the form of the updates has.
    """
    exponents = []
    for spec, place in zip(layout.tensors, layout.slices, strict=True):
        moved = 0.0 if last_delta is None else _largest(last_delta[place])
        if moved == 0.0:
            reach = max(_first_reach(spec), 4.0 * _largest(base[place]))
        else:
            reach = max(_HEADROOM * moved, _LATER_FLOOR)
        # limit / reach lies in [2^(e-1), 2^e): the exponent e-1 makes `reach` just fit.
        exponents.append(min(max(frexp(limit / reach)[1] - 1, _EXPONENTS[0]), _EXPONENTS[1]))
    return tuple(exponents)


def _first_reach(spec: TensorSpec) -> float:
    if not spec.statistic:
        return _PARAMETER_FLOOR
    return _VARIANCE_FLOOR if spec.nonnegative else _MEAN_FLOOR


def _largest(values: Vector) -> float:
    return max(float(values.max()), -float(values.min())) if values.size else 0.0


def to_nearest(values: Vector) -> None:
    """Round to the nearest integer, in place; halves to the even one."""
    np.rint(values, out=values)


def encode(
    delta: Vector,
    layout: Layout,
    exponents: Sequence[int],
    weight: int,
    *,
    limit: int = LIMIT,
    round_in_place: Callable[[Vector], None] = to_nearest,
) -> tuple[Ring, int]:
    """Turn a delta into its weighted ring form, **in place**: the result shares the delta's memory.

    Args:
        delta: float32, (layout.size,); its content is lost.
        layout: the tensors' places.
        exponents: one per tensor.
        weight: this hospital's, from the contract.
        limit: the largest |q|.
        round_in_place: makes integers of scaled values, each one of its two neighbours.

    Returns:
        uint32 (layout.size,), and how many values saturated at ``±limit``.

    Raises:
        NonFiniteError: names the tensor that holds NaN or Inf.
        LayoutError: lengths do not fit, or the weight is out of range.
    """
    layout.check(delta)
    _check_scale(layout, exponents, weight)
    saturated = 0
    for spec, place, exponent in zip(layout.tensors, layout.slices, exponents, strict=True):
        values = delta[place]
        largest = _largest(values)
        if not np.isfinite(largest):  # max and min carry NaN and Inf through
            raise NonFiniteError(f"{spec.name}: the update holds NaN or Inf.")
        scale = 2.0**exponent
        np.multiply(values, np.float32(scale), out=values)
        round_in_place(values)
        if largest * scale > limit:  # only then is it worth a second pass
            saturated += int(np.count_nonzero(np.abs(values) > limit))
            np.clip(values, -limit, limit, out=values)
        integers = values.view(np.int32)
        np.copyto(integers, values, casting="unsafe")
        np.multiply(integers, np.int32(weight), out=integers)
    return delta.view(np.uint32), saturated


def check_range(update: Ring, weight: int) -> None:
    """Refuse an update whose entries no honest hospital of this weight could send.

    Without this bound, one hospital could wrap the sum around the ring.

    Raises:
        LayoutError: an entry exceeds ``weight * LIMIT``.
    """
    signed = update.view(np.int32)
    largest = max(int(signed.max()), -int(signed.min())) if signed.size else 0
    if largest > weight * LIMIT:
        raise LayoutError(f"an entry of {largest} exceeds weight {weight} × {LIMIT}.")


def apply(base: Vector, total: Ring, layout: Layout, exponents: Sequence[int], weight_sum: int) -> Vector:
    """The next model: base plus the weighted mean, one division in float64 and one rounding to float32.

    Args:
        base: float32, (layout.size,).
        total: the ring sum over the included hospitals, uint32 (layout.size,).
        layout: the tensors' places.
        exponents: one per tensor.
        weight_sum: of the included hospitals.
    """
    layout.check(base)
    layout.check(total)
    _check_scale(layout, exponents, weight_sum)
    model = np.empty_like(base)
    for spec, place, exponent in zip(layout.tensors, layout.slices, exponents, strict=True):
        mean = total[place].view(np.int32) / (weight_sum * 2.0**exponent)  # float64
        mean += base[place]
        if spec.nonnegative:
            np.maximum(mean, 0.0, out=mean)
        model[place] = mean
    return model


def _check_scale(layout: Layout, exponents: Sequence[int], weight: int) -> None:
    if len(exponents) != len(layout.tensors):
        raise LayoutError(f"{len(exponents)} exponents for {len(layout.tensors)} tensors.")
    if not 1 <= weight <= WEIGHT_SUM:
        raise LayoutError(f"a weight of {weight}: it must be within 1 and {WEIGHT_SUM}.")
    if any(floor(e) != e or not _EXPONENTS[0] <= e <= _EXPONENTS[1] for e in exponents):
        raise LayoutError(f"an exponent is outside {_EXPONENTS}: {list(exponents)}")
