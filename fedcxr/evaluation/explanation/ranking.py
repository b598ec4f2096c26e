"""The ranking of a saliency map's pixels, and the draw of the case whose map stands in for another's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedcxr.seeds import derive_seed

_STEPS = 1 << 16  # levels between 0 and a map's highest value; what differs by less is rounding


def saliency_ranking(maps: NDArray[np.float32], seed: int) -> NDArray[np.int64]:
    """Rank the pixels of each map from its highest value down.

    Pixels that are alike come in random order, drawn from ``seed``: coarse maps have plateaus, and an order
    from the top left would take sides. So would the pattern that float32's rounding leaves on an enlarged
    plateau; pixels are therefore alike when they round to the same 65,536th of the map's highest value.

    Args:
        maps: float32 (n, S, S), not negative.
        seed: of the order among pixels that are alike.

    Returns:
        Indices into each flattened map, int64 (n, S·S).
    """
    values = maps.reshape(len(maps), -1)
    highest = np.maximum(values.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    values = np.round(values / highest * _STEPS)
    lots = np.random.default_rng(derive_seed(seed, "places")).random(values.shape, dtype=np.float32)
    order: NDArray[np.int64] = np.lexsort((lots, -values), axis=-1)
    return order


def stand_ins(labels: NDArray[np.int64], patients: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Draw for each of n cases another case of the same label and of another patient.

    Each case stands in for one other at most. A map that is scored on another patient's image shows what can
    be known without a look at that image: where the label's lesions usually are, and how smooth maps are.

    Args:
        labels: int64 (n,).
        patients: int64 (n,).
        seed: of the draw.

    Returns:
        Indices of cases, int64 (n,); −1 where no other patient has the label.
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
