"""The picture of overlays: images with each method's saliency map over them, label by label."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedcxr.data.labels import LABELS
from fedcxr.evaluation.explanation.saliency import Maps, Method
from fedcxr.evaluation.explanation.scores import Cases
from fedcxr.report.contact_sheet import outline
from fedcxr.report.pictures import write_picture

_HEAD, _EDGE = 0.75, 0.12  # inches above the pictures, and above the title
_CELL = 192  # pixels a side of each image as shown
_INK = (0, 229, 255)  # of outlines: in no map's colours


def draw_overlays(
    images: NDArray[np.uint8],
    cases: Cases,
    maps: Mapping[Method, Maps],
    masks: NDArray[np.bool_] | None,
    path: Path,
    *,
    title: str,
    columns: int = 4,
) -> None:
    """Draw the first ``columns`` cases of each label: the image, then each method's map over it.

    Args:
        images: uint8, shape (n, S, S): the cases' own.
        cases: n of them.
        maps: by method, float32 (n, S, S), in [0, 1].
        masks: bool, shape (n, M, M); outlined on every picture where it is there.
        path: to write; its suffix says the format.
        title: one line; says what the images are.
        columns: cases a label.
    """
    from matplotlib.figure import Figure

    labels = list(dict.fromkeys(cases.labels.tolist()))
    shown = 1 + len(maps)
    figure = Figure(figsize=(1.55 * shown * columns + 0.4, 1.75 * len(labels) + 0.7))
    figure.subplots_adjust(
        left=0.01, right=0.99, bottom=0.01, top=1 - _HEAD / figure.get_figheight(), wspace=0.03, hspace=0.16
    )
    grid = figure.subplots(len(labels), shown * columns, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for line, label in enumerate(labels):
        grid[line, 0].text(
            0.0, 1.06, LABELS[label], transform=grid[line, 0].transAxes, fontsize=9, fontweight="bold"
        )
        for place, case in enumerate(np.flatnonzero(cases.labels == label)[:columns].tolist()):
            mask = None if masks is None else masks[case]
            grid[line, place * shown].imshow(_picture(images[case], None, mask))
            for offset, (method, own) in enumerate(maps.items(), start=1):
                axes = grid[line, place * shown + offset]
                axes.imshow(_picture(images[case], own[case], mask))
                empty = "" if own[case].any() else ": empty"
                axes.set_title(f"{method.value}{empty}", fontsize=8, pad=3, loc="right")
    key = "yellow: the map's highest" + ("; outlined: the lesion" if masks is not None else "")
    figure.suptitle(
        f"{title}; {key}", fontsize=12, x=0.01, y=1 - _EDGE / figure.get_figheight(), ha="left", va="top"
    )
    write_picture(figure, path, dpi=130)


def _picture(
    image: NDArray[np.uint8], heat: NDArray[np.float32] | None, mask: NDArray[np.bool_] | None
) -> NDArray[np.uint8]:
    """An image with its map and mask drawn over it: RGB, uint8 (_CELL, _CELL, 3)."""
    from matplotlib import colormaps

    grey = np.asarray(Image.fromarray(image).resize((_CELL, _CELL), Image.Resampling.BICUBIC)) / 255.0
    picture = np.repeat(grey[:, :, None], 3, axis=2)
    if heat is not None:
        wide = np.asarray(Image.fromarray(heat).resize((_CELL, _CELL), Image.Resampling.BICUBIC)).clip(0, 1)
        strength = 0.6 * wide[:, :, None]  # nothing is covered where the map is empty
        picture = (1 - strength) * picture + strength * colormaps["inferno"](0.25 + 0.75 * wide)[:, :, :3]
    pixels = (picture * 255).round().astype(np.uint8)
    if mask is not None:
        inside = np.asarray(Image.fromarray(mask).resize((_CELL, _CELL), Image.Resampling.NEAREST))
        pixels[outline(inside)] = _INK
    return pixels
