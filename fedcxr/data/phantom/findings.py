"""The findings that phantoms can have: each painter changes a :class:`Chest` and returns the lesion's mask.

A painter draws its details from the sign's own seed, so every view of a study shows the same lesion. It
returns a field that is positive inside the lesion; the mask is where it is, and at least its peak, so a
finding that is drawn always has a mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.phantom.atlas import EXTENT, TABLE_AXIS, Field, ramp
from fedcxr.data.phantom.chest import Anatomy, Chest
from fedcxr.data.phantom.devices import paint_devices

OPACITIES = ("Lung Lesion", "Edema", "Consolidation", "Atelectasis")
"""What CheXpert's hierarchy holds under Lung Opacity, as far as it is drawn."""

FAINT = 0.25  # a sign below this severity is one that a reader may call uncertain


@dataclass(frozen=True)
class Sign:
    """One finding of a study: what, how much of it, and where."""

    finding: str
    severity: float  # in (0, 1]
    sides: tuple[int, ...]  # RIGHT, LEFT or both
    seed: int


def paint(chest: Chest, signs: tuple[Sign, ...]) -> dict[str, NDArray[np.bool_]]:
    """Draw ``signs`` into ``chest``; the mask of each finding, bool (S, S), plus Lung Opacity's union."""
    masks: dict[str, NDArray[np.bool_]] = {}
    for sign in signs:
        inside = PAINTERS[sign.finding](chest, sign, np.random.default_rng(sign.seed))
        mask = inside > 0
        mask.flat[int(inside.argmax())] = True
        masks[sign.finding] = mask
    if opacities := [masks[name] for name in OPACITIES if name in masks]:
        masks["Lung Opacity"] = np.logical_or.reduce(opacities)
    return masks


def reshape(anatomy: Anatomy, signs: tuple[Sign, ...]) -> Anatomy:
    """The anatomy after what ``signs`` do to it as a whole: heart, mediastinum, diaphragm, shift."""
    for sign in signs:
        if sign.finding == "Cardiomegaly":
            anatomy = replace(anatomy, cardiothoracic=0.525 + 0.14 * sign.severity)
        elif sign.finding == "Enlarged Cardiomediastinum":
            anatomy = replace(anatomy, mediastinum=0.155 + 0.11 * sign.severity)
        elif sign.finding == "Atelectasis":
            domes = list(anatomy.domes)
            for side in sign.sides:
                domes[side > 0] += 0.02 + 0.18 * sign.severity
            pull = sum(sign.sides) * (0.01 + 0.06 * sign.severity)
            anatomy = replace(anatomy, domes=(domes[0], domes[1]), heart_shift=anatomy.heart_shift + pull)
        elif sign.finding == "Pneumothorax":
            push = -sum(sign.sides) * 0.05 * max(0.0, sign.severity - 0.4)
            anatomy = replace(anatomy, heart_shift=anatomy.heart_shift + push)
    return anatomy


def _cardiomegaly(chest: Chest, sign: Sign, rng: np.random.Generator) -> Field:
    """The heart's silhouette below the hila; :func:`reshape` has made it wide."""
    return _all_of(chest.to_heart, chest.v + np.float32(0.12), chest.to_diaphragm)


def _mediastinum(chest: Chest, sign: Sign, rng: np.random.Generator) -> Field:
    """The upper mediastinum, from the clavicles to the hila."""
    return _all_of(chest.to_heart, np.float32(-0.10) - chest.v, chest.v + np.float32(0.62))


def _effusion(chest: Chest, sign: Sign, rng: np.random.Generator) -> Field:
    """Fluid over the diaphragm: it climbs at the wall (the meniscus) and blunts the costophrenic angle."""
    a = chest.anatomy
    surface = np.full(TABLE_AXIS.shape, EXTENT)
    for side in sign.sides:
        extent = sign.severity * rng.uniform(0.85, 1.1)
        level = a.base - 0.04 - 0.60 * extent
        to_wall = np.interp(level, TABLE_AXIS, chest.wall_curve) - TABLE_AXIS * side
        meniscus = 0.17 * np.exp(-np.clip(to_wall, 0, None) / 0.12)
        meniscus += 0.07 * np.exp(-np.clip(TABLE_AXIS * side - 0.12, 0, None) / 0.09)
        surface = np.where(TABLE_AXIS * side > 0, level - meniscus, surface)
    depth = chest.v - chest.along_u(surface)
    fluid = ramp(depth - np.float32(0.01), 0.05)
    fluid *= chest.cavity
    chest.fill(fluid * np.float32(0.95))
    chest.added += fluid * np.float32(0.06)  # as dense as what lies below: the dome is not seen
    return fluid - np.float32(0.5)


def _pneumothorax(chest: Chest, sign: Sign, rng: np.random.Generator) -> Field:
    """Air at the apex and along the wall: no markings in it, and a thin pleural line at the lung's edge."""
    a = chest.anatomy
    t = np.clip((TABLE_AXIS - a.apex) / (a.base - a.apex), 0, 1)
    gap = (0.06 + 0.27 * sign.severity * rng.uniform(0.9, 1.1)) * (1 - 0.65 * t)
    above = (chest.v - np.float32(a.apex)) * np.float32(0.62)
    edge = chest.to_wall + above - np.hypot(chest.to_wall - above, np.float32(0.20))  # a rounded minimum
    edge *= np.float32(0.5)
    edge += chest.atlas.cloud(rng, 6) * np.float32(0.006)
    depth = chest.along_v(gap) - edge
    hemithorax = chest.side(sign.sides[0])
    hemithorax *= chest.cavity
    rim = ramp(depth, chest.atlas.edge) * hemithorax
    line = (
        np.clip(np.float32(1) - np.abs(depth) * np.float32(1 / (0.9 * chest.atlas.edge)), 0, 1) * hemithorax
    )
    chest.vessels *= np.float32(1) - rim
    chest.fill(
        (hemithorax - rim) * np.float32(0.10 + 0.25 * sign.severity)
    )  # the collapsed lung holds less air
    chest.added += line * np.float32(0.13)
    chest.added -= rim * np.float32(0.085)
    return rim - np.float32(0.5)


def _edema(chest: Chest, sign: Sign, rng: np.random.Generator) -> Field:
    """Haze around both hila (the bat's wings), full upper vessels, Kerley B lines at the lower wall."""
    wings = np.exp(-(((np.abs(TABLE_AXIS) - 0.30) / 0.21) ** 2))
    height = np.exp(-(((TABLE_AXIS + 0.02) / 0.34) ** 2))
    haze = chest.along_u(wings) * chest.along_v(0.18 + 0.82 * height)
    haze *= np.clip(np.float32(0.85) + np.float32(0.30) * chest.atlas.cloud(rng, 12), 0.2, 1.4)
    haze *= chest.cavity
    chest.fill(np.clip(haze * np.float32(0.16 + 0.80 * sign.severity), 0, 0.95))
    chest.marking += 0.07 * sign.severity
    period = max(0.052, 2.5 * chest.atlas.pixel)
    lines = np.clip(np.cos(TABLE_AXIS * (2 * np.pi / period)) * 2 - 1, 0, 1)
    lines = lines * np.clip((TABLE_AXIS - 0.02) / 0.1, 0, 1)
    septa = np.clip(np.float32(1.6) - chest.to_wall * np.float32(10), 0, 1) * chest.along_v(lines)
    chest.added += septa * chest.cavity * np.float32(0.02 + 0.08 * sign.severity)
    return haze - np.float32(0.45)


def _consolidation(chest: Chest, sign: Sign, rng: np.random.Generator) -> Field:
    """Patches of airless lung in one lobe with ragged borders, air-filled bronchi dark inside them."""
    whole = np.full(chest.u.shape, -1.0, np.float32)
    for side in sign.sides:
        u, v = _place(chest, side, rng, margin=0.13)
        radius = 0.15 + 0.17 * np.sqrt(sign.severity) * rng.uniform(0.85, 1.15)
        across = (chest.u - np.float32(u)) * np.float32(1 / radius)
        down = (chest.v - np.float32(v)) * np.float32(rng.uniform(0.75, 1.1) / radius)
        patch = np.float32(1) - across * across - down * down
        patch += chest.atlas.cloud(rng, 10) * np.float32(0.38) + chest.atlas.cloud(rng, 22) * np.float32(0.16)
        np.maximum(whole, patch, out=whole)
    fill: Field = np.clip(whole * np.float32(1.5), 0, 1)
    fill *= chest.cavity
    air = chest.branches(3)
    shown = fill * (np.float32(1) - np.float32(0.65) * air)
    chest.vessels *= np.float32(1) - fill  # vessels are not seen where no air lies beside them
    chest.fill(shown * np.float32(0.38 + 0.56 * sign.severity))
    fill -= np.float32(0.4)
    return fill


def _atelectasis(chest: Chest, sign: Sign, rng: np.random.Generator) -> Field:
    """Plate-like bands over a raised diaphragm; with more of it, the base of the lung without air."""
    whole = np.zeros_like(chest.u)
    for side in sign.sides:
        for _ in range(1 + int(rng.integers(1, 3))):
            au = rng.uniform(0.34, 0.56)
            dome = float(np.interp(side * au, TABLE_AXIS, chest.diaphragm_curve))
            v = dome - rng.uniform(0.05, 0.24)
            slope = side * rng.uniform(-0.15, 0.35)
            cos, sin = np.float32(np.cos(slope)), np.float32(np.sin(slope))
            du, dv = chest.u - np.float32(side * au), chest.v - np.float32(v)
            along = np.abs(du * cos + dv * sin)
            thickness = max(0.017 + 0.014 * sign.severity, 0.75 * chest.atlas.pixel)
            off = (dv * cos - du * sin) * np.float32(1 / thickness)
            band = np.clip(np.float32(1.5) - off * off, 0, 1)
            band *= ramp(np.float32(rng.uniform(0.14, 0.24) + 0.05 * sign.severity) - along, 0.06)
            np.maximum(whole, band, out=whole)
    whole *= chest.cavity
    chest.added += whole * np.float32(0.05 + 0.11 * sign.severity)
    chest.fill(whole * np.float32(0.5))
    sides = sum((chest.side(side) for side in sign.sides[1:]), chest.side(sign.sides[0]))
    reach = 0.02 + 0.16 * max(0.0, sign.severity - 0.35)
    collapsed = ramp(np.float32(reach) - chest.to_diaphragm, 0.10) * chest.cavity * sides
    chest.fill(collapsed * np.float32(0.25 + 0.5 * sign.severity))
    np.maximum(whole, collapsed, out=whole)
    return whole - np.float32(0.5)


def _lesion(chest: Chest, sign: Sign, rng: np.random.Generator) -> Field:
    """One to three nodules or a mass: round, sharp, denser in the middle."""
    whole = np.full(chest.u.shape, -1.0, np.float32)
    count = int(rng.integers(1, 4)) if sign.severity < 0.6 else 1
    for _ in range(count):
        u, v = _place(chest, int(rng.choice(sign.sides)), rng, margin=0.07)
        radius = (0.045 + 0.085 * sign.severity) * rng.uniform(0.85, 1.1)
        du, dv = (
            (chest.u - np.float32(u)) * np.float32(1 / radius),
            (chest.v - np.float32(v)) * np.float32(1 / radius),
        )
        np.maximum(whole, np.float32(1) - du * du - dv * dv, out=whole)
    ball = np.sqrt(np.clip(whole, 0, 1)) * chest.cavity
    chest.added += ball * np.float32(0.13 + 0.12 * sign.severity)
    return _all_of(whole, chest.cavity - np.float32(0.5))


def _all_of(*fields: Field) -> Field:
    """Positive where every field is."""
    least: Field = np.minimum.reduce(fields)
    return least


def _place(chest: Chest, side: int, rng: np.random.Generator, margin: float) -> tuple[float, float]:
    """A point of that side's lung: ``margin`` off wall and diaphragm, and not behind the heart."""
    a = chest.anatomy
    v = rng.uniform(a.apex + 0.22, min(0.30, a.base - 0.25))
    wall = float(np.interp(v, TABLE_AXIS, chest.wall_curve)) - margin
    inner = 0.26 if v < 0 or side < 0 else min(0.20 + a.cardiothoracic * 0.55, wall - 0.08)
    au = rng.uniform(min(inner, wall - 0.05), wall)
    dome = float(np.interp(side * au, TABLE_AXIS, chest.diaphragm_curve))
    return side * au, min(v, dome - margin)


def _devices(chest: Chest, sign: Sign, rng: np.random.Generator) -> Field:
    metal, shadow = paint_devices(chest, rng)
    chest.added += shadow
    return metal - np.float32(0.3)


PAINTERS: dict[str, Callable[[Chest, Sign, np.random.Generator], Field]] = {
    "Cardiomegaly": _cardiomegaly,
    "Enlarged Cardiomediastinum": _mediastinum,
    "Edema": _edema,
    "Consolidation": _consolidation,
    "Atelectasis": _atelectasis,
    "Lung Lesion": _lesion,
    "Pneumothorax": _pneumothorax,
    "Pleural Effusion": _effusion,
    "Support Devices": _devices,
}
"""In the order of painting: what fills the lung first, then what displaces it, then what lies on top."""
