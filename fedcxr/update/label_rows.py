"""Which values of a model are one label's own: its rows of the head, which only images with the label move.

They go by the tensors' names, which are part of the layouts that ledgers hold, so that an audit finds them
without the network. Every model has them in the classifier; those that look at several scales have more
(:mod:`fedcxr.models.attention`, :mod:`fedcxr.models.multi_scale`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from fedcxr.update.layout import Layout
from fedcxr.update.round_config import LABELS

_OWN = re.compile(r"(classifier|scales\.(evidence|attention\.(look|choose\.\d+)))\.(weight|bias)")


def label_rows(layout: Layout, labels: Collection[int]) -> Iterator[slice]:
    """The places of labels' own values in the layout's vector; none of a tensor that does not travel."""
    for spec, place in zip(layout.tensors, layout.slices, strict=True):
        if _OWN.fullmatch(spec.name) and spec.shape[0] == LABELS:
            length = spec.size // LABELS
            for label in sorted(labels):
                yield slice(place.start + label * length, place.start + (label + 1) * length)


def clear_rows(vector: NDArray[np.generic], layout: Layout, labels: Collection[int]) -> None:
    """Set labels' own values to zero, **in place**."""
    for place in label_rows(layout, labels):
        vector[place] = 0


def moved_labels(total: NDArray[np.generic], layout: Layout, labels: Collection[int]) -> tuple[int, ...]:
    """Those of the labels of whose own values any is not zero, rising."""
    return tuple(
        label for label in sorted(labels) if any(total[place].any() for place in label_rows(layout, [label]))
    )
