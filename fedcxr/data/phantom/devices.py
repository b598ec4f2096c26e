"""Support devices: tubes, lines, pacemakers and electrodes, drawn as lines in the image plane."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from fedcxr.data.phantom.atlas import Field
from fedcxr.data.phantom.chest import Chest

Point = tuple[float, float]  # (u, v), chest units

_SCALE = 2  # drawn at twice the size and reduced, so that a line has soft edges


class _Pen:
    """Draws in chest coordinates; the smooth warp of the anatomy, under two pixels at 128, is left out."""

    def __init__(self, chest: Chest) -> None:
        self.pose, self.size = chest.pose, chest.atlas.size
        self.image = Image.new("L", (self.size * _SCALE,) * 2)
        self.draw = ImageDraw.Draw(self.image)

    def pixel(self, point: Point) -> Point:
        u, v = point[0] - self.pose.shift[0], point[1] - self.pose.shift[1]
        cos, sin = np.cos(self.pose.rotation) / self.pose.zoom, np.sin(self.pose.rotation) / self.pose.zoom
        scale = self.size * _SCALE / 2
        return float((u * cos + v * sin + 1) * scale), float((v * cos - u * sin + 1) * scale)

    def line(self, points: Sequence[Point], width: float, ink: int) -> None:
        """A smooth line through ``points`` (quadratic between midpoints), ``width`` in chest units."""
        path = [self.pixel(p) for p in _smooth(points)]
        self.draw.line(
            path, fill=ink, width=max(_SCALE, round(width * self.size * _SCALE / 2)), joint="curve"
        )

    def dot(self, centre: Point, radius: float, ink: int) -> None:
        x, y = self.pixel(centre)
        r = max(1.0, radius * self.size * _SCALE / 2)
        self.draw.ellipse((x - r, y - r, x + r, y + r), fill=ink)


def paint_devices(chest: Chest, rng: np.random.Generator) -> tuple[Field, Field]:
    """One to three devices; their coverage in [0, 1] and the density that they add, float32 (S, S)."""
    pen = _Pen(chest)
    bedside = rng.random() < 0.65
    kinds = _BEDSIDE if bedside else _AMBULATORY
    count = int(rng.integers(1, 3)) + bedside
    for k in sorted(rng.choice(len(kinds), size=min(count, len(kinds)), replace=False)):
        kinds[k](pen, rng)
    cover = np.asarray(pen.image.reduce(_SCALE), np.float32) * np.float32(1 / 255)
    return cover, cover * np.float32(0.32)


def _central_line(pen: _Pen, rng: np.random.Generator) -> None:
    tip = (rng.uniform(-0.12, -0.06), rng.uniform(-0.15, 0.08))
    side = rng.choice((-1.0, 1.0))
    entry = [(side * 0.25, -1.05), (side * 0.20, -0.80), (side * 0.10, -0.58)]
    if rng.random() < 0.5:  # a PICC comes along the arm
        entry = [(side * 1.15, -0.30), (side * 0.80, -0.58), (side * 0.35, -0.56)]
    pen.line([*entry, (-0.08, -0.42), tip], 0.016, 190)


def _tracheal_tube(pen: _Pen, rng: np.random.Generator) -> None:
    tip = rng.uniform(-0.52, -0.38)
    for edge in (-0.018, 0.018):
        pen.line([(0.01 + edge, -1.1), (0.02 + edge, tip)], 0.010, 150)


def _gastric_tube(pen: _Pen, rng: np.random.Generator) -> None:
    pen.line(
        [(0.03, -1.1), (0.03, -0.3), (0.06, 0.25), (0.16, 0.52), (rng.uniform(0.25, 0.45), 0.68)], 0.018, 180
    )


def _pacemaker(pen: _Pen, rng: np.random.Generator) -> None:
    u, v = rng.uniform(0.52, 0.64), rng.uniform(-0.52, -0.42)
    pen.line([(u - 0.05, v), (u + 0.05, v + 0.02)], 0.12, 255)
    vein = [(u - 0.06, v - 0.04), (0.42, -0.62), (0.12, -0.52), (-0.08, -0.35)]
    tip = (rng.uniform(0.18, 0.30), rng.uniform(0.36, 0.44))
    pen.line([*vein, (-0.13, 0.05), (-0.02, 0.32), tip], 0.014, 220)
    if rng.random() < 0.6:
        pen.line([*vein, (-0.15, 0.08), (-0.10, 0.18)], 0.014, 220)


def _electrodes(pen: _Pen, rng: np.random.Generator) -> None:
    for u, v in ((-0.62, -0.48), (0.66, -0.46), (0.72, 0.40)):
        spot = (u + rng.uniform(-0.08, 0.08), v + rng.uniform(-0.1, 0.1))
        pen.dot(spot, 0.028, 200)
        pen.line([spot, (spot[0] * 0.9, spot[1] + 0.25), (rng.uniform(-0.3, 0.3), 1.1)], 0.008, 90)


_BEDSIDE = (_central_line, _electrodes, _gastric_tube, _tracheal_tube)
_AMBULATORY = (_pacemaker, _central_line)


def _smooth(points: Sequence[Point]) -> list[Point]:
    middles = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in pairwise(points)]
    path = [points[0], middles[0]]
    for start, corner, end in zip(middles, points[1:-1], middles[1:], strict=False):
        for t in (0.25, 0.5, 0.75, 1.0):
            a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t  # a quadratic Bézier curve
            u = a * start[0] + b * corner[0] + c * end[0]
            path.append((u, a * start[1] + b * corner[1] + c * end[1]))
    return [*path, points[-1]]
