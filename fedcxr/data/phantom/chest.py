"""The normal chest: one patient's anatomy, and its projection in one pose.

A radiograph shows the sum of what the rays met, so everything here adds to one density: soft tissue and bone
add, air in the lungs subtracts, and whatever fills the air (fluid, pus, a heart in front) takes the
subtraction back. That gives silhouettes for free: a border is seen only where air lies against it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.phantom.atlas import (
    BINS,
    EXTENT,
    TABLE_AXIS,
    TREE_HEIGHT,
    TREE_TOP,
    TREE_WIDTH,
    Atlas,
    Field,
    ramp,
)

RIGHT, LEFT = -1, 1  # the patient's sides, and the sign of u


@dataclass(frozen=True)
class Anatomy:
    """A patient's measures in chest units (half an image's side is 1)."""

    half_width: float  # of the thorax inside the ribs, at its widest
    apex: float  # v of the lung apices
    base: float  # v of the costophrenic angles
    domes: tuple[float, float]  # height of the right and left diaphragm over the angles
    cardiothoracic: float  # heart's width over the thorax's; above 0.5 is cardiomegaly
    mediastinum: float  # half-width of the upper mediastinum
    heart_shift: float  # towards the side of volume loss, in u
    fat: float  # of the chest wall
    bone: float  # 1 is average mineralisation
    rib_spacing: float
    marking: float  # how strongly the lung's vessels show
    female: bool
    stomach_bubble: bool
    trees: tuple[int, int]  # vessel trees of the right and left lung
    warp_seed: int  # of the smooth deformation that makes no two chests alike


@dataclass(frozen=True)
class Pose:
    """How one view was taken; a second view of the study has another."""

    anteroposterior: bool  # AP: tube in front, heart magnified, shoulder blades over the lungs
    rotation: float  # radians in the image plane
    shift: tuple[float, float]
    zoom: float
    seed: int  # of noise and exposure


class Chest:
    """The fields of one view, each float32 of shape (S, S); findings change them before :meth:`density`.

    Attributes:
        u, v, au: chest coordinates of each pixel, and |u|.
        cavity: [0, 1], the space of both lungs, air or not.
        to_wall, to_diaphragm: distance inwards from the chest wall and up from the diaphragm.
        to_heart: distance inside the cardiomediastinal silhouette; negative outside.
        filled: [0, 1], share of the lung's air that something has replaced.
        added: density on top.
        vessels: [0, 1], lung markings.
        marking: how strongly the markings show.
    """

    def __init__(self, atlas: Atlas, anatomy: Anatomy, pose: Pose) -> None:
        self.atlas, self.anatomy, self.pose = atlas, anatomy, pose
        cos, sin = (
            np.float32(np.cos(pose.rotation) * pose.zoom),
            np.float32(np.sin(pose.rotation) * pose.zoom),
        )
        warp = np.random.default_rng(anatomy.warp_seed)
        self.u: Field = atlas.x * cos - atlas.y * sin + np.float32(pose.shift[0])
        self.u += atlas.cloud(warp, 3) * np.float32(0.014)
        self.v: Field = atlas.x * sin + atlas.y * cos + np.float32(pose.shift[1])
        self.v += atlas.cloud(warp, 3) * np.float32(0.016)
        self.au: Field = np.abs(self.u)
        self._u_bin, self._v_bin = _bins(self.u), _bins(self.v)

        a, v = anatomy, TABLE_AXIS
        t = np.clip((v - a.apex) / (a.base - a.apex), 0, 1)
        crown = 0.31  # |u| of the lung's apex
        self.wall_curve = crown + (a.half_width - crown) * (1 - (1 - t) ** 2) ** 0.48
        self.wall_curve -= 2 * np.clip(a.apex - v, 0, None)
        medial = 0.11 + (crown - 0.11) * np.clip(1 - t / 0.22, 0, 1) ** 1.5
        self.diaphragm_curve = _diaphragm(a)
        self.to_wall: Field = self.along_v(self.wall_curve) - self.au
        self.to_diaphragm: Field = self.along_u(self.diaphragm_curve) - self.v
        inside = np.minimum(self.to_wall, self.au - self.along_v(medial))
        np.minimum(inside, self.to_diaphragm, out=inside)
        self.cavity: Field = ramp(inside, atlas.edge)

        right, left = _silhouette(a, magnified=pose.anteroposterior)
        shifted = self.u - np.float32(a.heart_shift)
        self.to_heart: Field = np.minimum(shifted + self.along_v(right), self.along_v(left) - shifted)
        np.minimum(self.to_heart, self.to_diaphragm + np.float32(0.05), out=self.to_heart)
        self.filled: Field = np.zeros_like(self.u)
        self.added: Field = np.zeros_like(self.u)
        self.vessels: Field = self._sample(atlas.trees, a.trees)
        self.marking = anatomy.marking

    def along_u(self, curve: NDArray[np.floating]) -> Field:
        """A curve tabulated over u (see ``TABLE_AXIS``), at every pixel."""
        return curve.astype(np.float32).take(self._u_bin, mode="clip")

    def along_v(self, curve: NDArray[np.floating]) -> Field:
        """A curve tabulated over v, at every pixel."""
        return curve.astype(np.float32).take(self._v_bin, mode="clip")

    def side(self, side: int) -> Field:
        """1 on that side of the midline, 0 on the other."""
        return (self.u * np.float32(side) > 0).astype(np.float32)

    def branches(self, shift: int) -> Field:
        """Bronchi: a thick tree of the pool, another one than the patient's vessels."""
        trees = self.anatomy.trees
        count = len(self.atlas.branches)
        return self._sample(self.atlas.branches, ((trees[0] + shift) % count, (trees[1] + shift) % count))

    def fill(self, share: Field) -> None:
        """Replace ``share`` of what air is left."""
        self.filled += share * (np.float32(1) - self.filled)

    def density(self) -> Field:
        """What the rays met, float32 (S, S): about 0 beside the body, 0.2 in a lung, 0.9 over the spine."""
        a = self.anatomy
        to_skin = self.along_v(_skin(a)) - self.au
        below = ramp(-self.to_diaphragm - np.float32(0.08), 0.30)
        heart = ramp(self.to_heart, max(0.03, self.atlas.edge))
        tissue: Field = np.float32(0.42) + np.float32(0.20) * np.clip(to_skin * np.float32(3.5), 0, 1)
        tissue += below * np.float32(0.20)
        tissue += heart * (np.float32(0.12) + np.float32(0.5) * np.clip(self.to_heart, 0, 0.22))
        tissue += self._bones(heart)
        tissue += self._soft_parts()
        depth = np.clip(self.to_wall * np.float32(3.2), 0, 1)
        depth = np.float32(0.22) + np.float32(0.24) * depth * (np.float32(2) - depth)
        depth *= self.cavity
        depth *= np.float32(1) - np.float32(0.80) * heart
        depth *= np.float32(1) - self.filled
        tissue -= depth
        tissue += self.vessels * self.cavity * (np.float32(1) - heart) * np.float32(self.marking)
        tissue += self.added
        tissue *= ramp(to_skin, 0.035)
        return tissue

    def _bones(self, heart: Field) -> Field:
        a, across, down = self.anatomy, np.abs(TABLE_AXIS), TABLE_AXIS
        s = across / a.half_width
        posterior = self._rib_phase(0.40 * s**2.3 - 0.16 * s, a.rib_spacing)
        anterior = self._rib_phase(-0.42 * s, a.rib_spacing * 1.2)
        reach = np.clip((across - 0.12) / 0.06, 0, 1) * np.clip((0.62 - down) / 0.12, 0, 1)[0]
        front = np.clip((across - 0.30) / 0.12, 0, 1)
        levels = np.clip((down - a.apex + 0.03) / 0.06, 0, 1) * np.clip((a.base + 0.05 - down) / 0.3, 0, 1)
        ribs: Field = _RIB.take(posterior) * self.along_u(0.085 * reach)
        ribs += _RIB.take(anterior) * self.along_u(0.055 * front)
        ribs *= self.along_v(levels)
        ribs *= ramp(self.to_wall + np.float32(0.05), 0.05)
        turn = np.clip(np.float32(1) - np.abs(self.to_wall) * np.float32(9), 0, 1)  # seen edge on at the wall
        ribs *= np.float32(1) + np.float32(0.7) * turn
        ribs *= np.float32(1) - np.float32(0.6) * heart
        rise = 0.30 if self.pose.anteroposterior else 0.20
        centre = -0.56 - rise * np.clip(across - 0.08, 0, None) + 0.06 * np.sin((across - 0.08) * 7)
        distance = (self.v - self.along_u(centre)) * np.float32(1 / 0.030)
        shaft = np.clip(np.float32(1.3) - distance * distance, 0, 1)
        ribs += shaft * self.along_u(0.09 * np.clip((across - 0.07) / 0.03, 0, 1))
        discs = 1 + 0.35 * np.cos(down * (2 * np.pi / (a.rib_spacing * 0.98)))
        ribs += self.along_u(_SPINE) * self.along_v(discs)
        blade = 0.60 if self.pose.anteroposterior else 0.76
        over = self.au - self.along_v(blade + 0.25 * (down + 0.3))
        window = np.clip((down + 0.80) / 0.1, 0, 1) * np.clip((-0.02 - down) / 0.3, 0, 1)
        ribs += ramp(over, 0.04) * self.along_v(0.05 * window)
        return ribs * np.float32(a.bone)

    def _rib_phase(self, course: NDArray[np.floating], spacing: float) -> NDArray[np.intp]:
        """Position within a rib's period, in 64ths, for ribs that follow ``course`` over u."""
        phase = self.v - self.along_u(course)
        phase *= np.float32(64 / spacing)
        phase += np.float32(64 * 64 - self.anatomy.apex * 64 / spacing)
        return phase.astype(np.intp) & 63

    def _soft_parts(self) -> Field:
        a = self.anatomy
        parts = self.along_u(_TRACHEA[0]) * self.along_v(_TRACHEA[1])
        parts += self.along_u(_HILA[0]) * self.along_v(_HILA[1])
        if a.female:
            fold = (self.au - np.float32(0.44)) ** 2 + (self.v - np.float32(0.22)) ** 2
            parts += ramp(np.float32(0.33**2) - fold, 0.05) * np.float32(0.07)
        if a.stomach_bubble:
            gas = ((self.u - np.float32(0.36)) / np.float32(0.17)) ** 2
            gas += ((self.to_diaphragm + np.float32(0.12)) / np.float32(0.075)) ** 2
            parts -= ramp(np.float32(1) - gas, 0.5) * np.float32(0.22)
        return parts

    def _sample(self, pool: Field, pair: tuple[int, int]) -> Field:
        side = pool.shape[1]
        column = np.clip(self.au * np.float32(side / TREE_WIDTH), 0, side - 1).astype(np.intp)
        row = np.clip((self.v - np.float32(TREE_TOP)) * np.float32(side / TREE_HEIGHT), 0, side - 1)
        place = row.astype(np.intp) * side + column
        place += np.where(self.u < 0, pair[0] * side * side, pair[1] * side * side).astype(np.intp)
        sampled: Field = pool.ravel().take(place)
        return sampled


def _bins(coordinate: Field) -> NDArray[np.intp]:
    return ((coordinate + np.float32(EXTENT)) * np.float32(BINS / (2 * EXTENT))).astype(np.intp)


def _diaphragm(a: Anatomy) -> Field:
    """v of the diaphragm over u: a dome a side, lowest at the wall, where the costophrenic angle is."""
    across = np.abs(TABLE_AXIS)
    right, left = a.domes
    height = right + (left - right) * np.clip(TABLE_AXIS * 4 + 0.5, 0, 1)
    reach = np.where(across < 0.38, 0.75, a.half_width - 0.38)  # steep to the wall, flat to the midline
    curve: Field = a.base - height * (1 - np.clip(np.abs(across - 0.38) / reach, 0, 1) ** 2)
    return curve


def _silhouette(a: Anatomy, *, magnified: bool) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Right and left border of heart and mediastinum over v, as distances from the midline."""
    v = TABLE_AXIS
    width = a.cardiothoracic * 2 * a.half_width
    if magnified:  # AP: the heart is further from the detector
        width *= 1.06
    floor = a.base - 0.42 * sum(a.domes)  # the heart rests on the diaphragm, its widest part just above
    stalk = 0.085 + (a.mediastinum - 0.085) * np.clip((v + 0.72) / 0.20, 0, 1)
    atrium = 0.34 * width * np.sqrt(np.clip(1 - ((v - floor + 0.19) / 0.36) ** 2, 0, 1))
    ventricle = 0.66 * width * np.sqrt(np.clip(1 - ((v - floor + 0.11) / 0.42) ** 2, 0, 1)) ** 1.25
    return _smooth_max(stalk, atrium), _smooth_max(stalk + _KNOB, ventricle)


def _smooth_max(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """The larger of two, the corner rounded over 0.04."""
    return (a + b + np.sqrt((a - b) ** 2 + 0.04**2)) / 2


def _skin(a: Anatomy) -> NDArray[np.floating]:
    """Half-width of the body over v: neck, shoulders, flank."""
    flank = a.half_width + 0.13 + a.fat
    v = (-EXTENT, -1.00, -0.92, -0.84, -0.74, -0.45, -0.15, 0.15, EXTENT)
    u = (0.20, 0.21, 0.30, 0.70, 1.08, 1.34, 1.30, flank, flank + 0.05)
    return np.interp(TABLE_AXIS, v, u)


def _rib_profile() -> Field:
    """Density over one rib's period in 64 steps: cortex bright at both margins, the interspace 0."""
    position = np.arange(64) / 64
    body = np.clip((0.24 - np.abs(position - 0.5)) / 0.06, 0, 1)
    cortex = np.exp(-(((np.abs(position - 0.5) - 0.19) / 0.05) ** 2))
    return (0.65 * body + 0.45 * cortex).astype(np.float32)


_RIB = _rib_profile()

# Curves that are the same in every chest: over u, and over v where there are two.
_SPINE = np.clip(1.25 - (TABLE_AXIS / 0.095) ** 4, 0, 1) * 0.055
_TRACHEA = (  # air, down to the carina
    -0.11 * np.exp(-((TABLE_AXIS - 0.01) ** 4) / 0.04**4),
    np.clip((-0.26 - TABLE_AXIS) / 0.1, 0, 1),
)
_HILA = (
    0.11 * np.exp(-(((np.abs(TABLE_AXIS) - 0.16) / 0.075) ** 2)),
    np.exp(-(((TABLE_AXIS + 0.05) / 0.13) ** 2)),
)
# The left border above the ventricle, over v: the aortic knob and the pulmonary artery.
_KNOB = 0.055 * np.exp(-(((TABLE_AXIS + 0.37) / 0.075) ** 2))
_KNOB += 0.045 * np.exp(-(((TABLE_AXIS + 0.13) / 0.08) ** 2))
