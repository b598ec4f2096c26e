"""What all phantoms of one size share: the pixel grid, random-field bases and a pool of vessel trees.

Coordinates are the chest's own: u from -1 (image left, the patient's right) to 1, v from -1 (top) to 1.
Shapes are curves over u or over v, tabulated finely once a view and looked up a pixel at a time: a lookup
costs a tenth of the transcendental functions behind the curve.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from fedcxr.seeds import derive_seed

Field: TypeAlias = NDArray[np.float32]

BINS = 1024  # of a tabulated curve: two a pixel at 320 px, and every edge is seven wide
EXTENT = 1.6  # a table spans [-EXTENT, EXTENT]; no pose moves a pixel beyond it
TREES = 12  # vessel trees in the pool: two a patient, so 144 pairs
TABLE_AXIS: Field = ((np.arange(BINS) + 0.5) / BINS * 2 * EXTENT - EXTENT).astype(np.float32)

# The part of the chest that a vessel tree covers, as (|u| from 0 to TREE_WIDTH, v from TREE_TOP on).
TREE_WIDTH, TREE_TOP, TREE_HEIGHT = 0.9, -0.95, 1.7
_HILUM = (0.17, -0.05)


def ramp(distance: Field, width: float) -> Field:
    """A soft step: 0 below ``-width/2``, 1 above ``width/2``, a line between."""
    result: Field = distance * np.float32(1.0 / width)
    result += np.float32(0.5)
    np.clip(result, 0.0, 1.0, out=result)
    return result


class Atlas:
    """Shared arrays for images of ``size`` pixels a side.

    Attributes:
        x, y: float32, shapes (1, size) and (size, 1): pixel centres in [-1, 1].
        edge: width of a sharp anatomical edge in chest units, never under 1.5 pixels.
        trees: float32, shape (TREES, T, T), in [0, 1]: lung vessels of one side, hilum at the left.
        branches: the same trees drawn thicker, for air bronchograms.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.pixel = 2.0 / size
        axis = ((np.arange(size) + 0.5) * self.pixel - 1.0).astype(np.float32)
        self.x, self.y = axis[None, :], axis[:, None]
        self.edge = max(0.022, 1.5 * self.pixel)
        side = max(128, size)
        drawn = [_tree(side, derive_seed(seed, "phantom", "vessels", k)) for k in range(TREES)]
        self.trees: Field = np.stack([thin for thin, _ in drawn])
        self.branches: Field = np.stack([thick for _, thick in drawn])
        self._bases: dict[int, Field] = {}

    def cloud(self, rng: np.random.Generator, cells: int) -> Field:
        """A smooth random field of unit variance, shape (size, size): about ``cells`` bumps across."""
        basis = self._bases.get(cells)
        if basis is None:
            basis = self._bases[cells] = _spline_basis(self.size, cells)
        knots = rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)
        return np.asarray(basis @ knots @ basis.T, np.float32)


@lru_cache(maxsize=2)
def atlas(size: int, seed: int) -> Atlas:
    """The atlas of a size and seed, made once a process."""
    return Atlas(size, seed)


def _spline_basis(size: int, cells: int) -> Field:
    """Cubic B-spline weights, shape (size, cells + 3), scaled so that white knots give unit variance."""
    position = (np.arange(size) + 0.5) / size * cells
    distance = np.abs(position[:, None] - (np.arange(cells + 3) - 1.0)[None, :])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    weights = np.where(distance < 1, near, far)
    scaled: Field = (weights / np.sqrt(0.479)).astype(np.float32)  # the squares' mean sum over a cell
    return scaled


def _tree(side: int, seed: int) -> tuple[Field, Field]:
    """One lung's vessels from the hilum outwards: tapering, forking, thinning to nothing at the pleura."""
    rng = np.random.default_rng(seed)
    scale = 2  # drawn at twice the size, reduced at the end
    canvas = side * scale
    thin, thick = Image.new("L", (canvas, canvas)), Image.new("L", (canvas, canvas))
    pens = ImageDraw.Draw(thin), ImageDraw.Draw(thick)
    unit = canvas / TREE_WIDTH
    tall = canvas / TREE_HEIGHT
    # (u, v, heading in radians, calibre in chest units, generations left)
    headings = np.linspace(-1.25, 1.3, 7) + rng.uniform(-0.15, 0.15, 7)
    stack = [(_HILUM[0], _HILUM[1] + 0.10 * np.sin(h), h, rng.uniform(0.018, 0.034), 6) for h in headings]
    while stack:
        u, v, heading, calibre, left = stack.pop()
        length = rng.uniform(0.07, 0.13)
        end_u, end_v = u + length * np.cos(heading), v + length * np.sin(heading)
        line = [(u * unit, (v - TREE_TOP) * tall), (end_u * unit, (end_v - TREE_TOP) * tall)]
        ink = int(np.clip(90 + 6500 * calibre, 0, 255))
        pens[0].line(line, fill=ink, width=max(1, round(calibre * canvas / 2.0)))
        pens[1].line(line, fill=255, width=max(2, round(calibre * canvas * 0.8)))
        if left:
            fork = rng.uniform(0.15, 0.5)
            for turn in (-fork, fork * rng.uniform(0.3, 1.0)):
                stack.append((end_u, end_v, heading + turn, calibre * rng.uniform(0.62, 0.85), left - 1))
    blur = ImageFilter.GaussianBlur(canvas / 400)
    small = [image.filter(blur).reduce(scale) for image in (thin, thick)]
    scaled: list[Field] = [np.asarray(image, np.float32) * np.float32(1 / 255) for image in small]
    return scaled[0], scaled[1]
