"""The places of a map, from the highest down, and whose map stands in for another's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedcxr.seeds import derive_seed

_STEPS = 1 << 16  # levels between nothing and a map's highest place; what differs by less is rounding


def ranked(maps: NDArray[np.float32], seed: int) -> NDArray[np.int64]:
    """The places of n maps, (n, S, S), each from its highest down: int64 (n, S·S), of the flattened maps.

    Places that are alike come in random order, from ``seed``: coarse maps have plateaus, and an order from
    the top left would take sides. So would the pattern that float32's rounding leaves on an enlarged plateau:
    places are alike when they round to the same 65,536th of the map's highest.
    """
    values = maps.reshape(len(maps), -1)
    highest = np.maximum(values.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    values = np.round(values / highest * _STEPS)
    lots = np.random.default_rng(derive_seed(seed, "places")).random(values.shape, dtype=np.float32)
    order: NDArray[np.int64] = np.lexsort((lots, -values), axis=-1)
    return order


def stand_ins(labels: NDArray[np.int64], patients: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """For each of n cases another of the same label and of another patient: int64 (n,); −1 where none is.

    Each case stands in for one other at most. What a map says of another patient's image is what it says
    without looking: the label's usual place, and the smoothness of such maps.

    Args:
        labels: int64 (n,).
        patients: int64 (n,).
        seed: of the draw.
    """
    found = np.full(len(labels), -1, dtype=np.int64)
    generator = np.random.default_rng(derive_seed(seed, "stand-ins"))
    for label in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels == label))
        _, first, member, count = np.unique(
            patients[own], return_index=True, return_inverse=True, return_counts=True
        )
        together = own[np.argsort(first[member], kind="stable")]  # a patient's cases beside each other
        others = np.roll(together, -int(count.max()))  # past the longest row of one patient's
        apart = patients[together] != patients[others]
        found[together[apart]] = others[apart]
    return found
