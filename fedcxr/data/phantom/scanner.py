"""A hospital's scanner: how density becomes grey values, and what it leaves at the picture's borders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.phantom.atlas import Atlas, Field
from fedcxr.data.phantom.chest import Pose

_STEPS = 1024  # of the grey curve: four a grey level
_GLYPHS = {  # 5 x 7 pixels, a row a number
    "L": (0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111),
    "R": (0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001),
}


@dataclass(frozen=True)
class Scanner:
    """The look that a hospital's machine gives to all its images."""

    window: tuple[float, float]  # densities shown as black and as white
    gamma: float
    exposure: float  # standard deviation of the window's shift from image to image
    noise: float  # standard deviation at mean density, of the full grey range
    blur: float  # weight of the four neighbours together; 0 is the sharpest detector
    heel: tuple[float, float]  # fall of intensity across and down the field (anode heel effect)
    collimation: float  # mean width of the black borders, in chest units; 0: none
    marker: str  # "L", "R" or "": the lead letter of the radiographer
    marker_height: float  # v of the letter

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Scanner:
        """A scanner at random: two of them differ far more than two images of one."""
        low = rng.uniform(-0.06, 0.16)
        return cls(
            window=(low, low + rng.uniform(0.78, 1.15)),
            gamma=float(np.exp(rng.uniform(-0.45, 0.40))),
            exposure=rng.uniform(0.01, 0.04),
            noise=rng.uniform(0.005, 0.020),
            blur=rng.choice((0.0, 0.25, 0.5)),
            heel=(rng.uniform(-0.06, 0.06), rng.uniform(-0.06, 0.06)),
            collimation=rng.choice((0.0, 0.03, 0.08)),
            marker=str(rng.choice(("L", "R", ""))),
            marker_height=rng.uniform(-0.85, -0.70),
        )

    def expose(self, atlas: Atlas, density: Field, pose: Pose) -> NDArray[np.uint8]:
        """The image, uint8 (S, S). Noise, exposure and borders come from the pose's seed."""
        rng = np.random.default_rng(pose.seed)
        size = atlas.size
        shown = density
        if self.blur:
            shown = density * np.float32(1 - self.blur)
            quarter = np.float32(self.blur / 4)
            shown[1:] += density[:-1] * quarter
            shown[:-1] += density[1:] * quarter
            shown[:, 1:] += density[:, :-1] * quarter
            shown[:, :-1] += density[:, 1:] * quarter
        portable = 1.6 if pose.anteroposterior else 1.0  # a mobile tube gives fewer photons
        grain = rng.standard_normal((size, size), dtype=np.float32)
        grain *= np.float32(0.6) + np.float32(0.7) * np.clip(shown, 0, 1.2)  # few photons where much absorbs
        shown += grain * np.float32(self.noise * portable)
        shown += atlas.x * np.float32(self.heel[0]) + atlas.y * np.float32(self.heel[1])
        low, high = self.window
        drift = rng.normal(0, self.exposure * portable)
        shown -= np.float32(low + drift)
        shown *= np.float32(_STEPS / (high - low))
        level = np.clip(shown, 0, _STEPS - 1).astype(np.intp)
        curve = np.rint(255 * ((np.arange(_STEPS) + 0.5) / _STEPS) ** self.gamma).astype(np.uint8)
        image = curve.take(level)
        if self.collimation:
            self._collimate(image, rng)
        if self.marker:
            self._mark(image, pose)
        return image

    def _collimate(self, image: NDArray[np.uint8], rng: np.random.Generator) -> None:
        size = len(image)
        top, bottom, left, right = (
            int(width * size / 2) for width in np.abs(rng.normal(0.6, 0.5, 4)) * self.collimation
        )
        black = np.uint8(4)
        image[:top], image[size - bottom :] = black, black
        image[:, :left], image[:, size - right :] = black, black

    def _mark(self, image: NDArray[np.uint8], pose: Pose) -> None:
        """Burn the letter in on its side of the patient (the patient's left is on the image's right)."""
        size = len(image)
        scale = max(1, round(size / 128))
        bits = np.array([[row >> (4 - k) & 1 for k in range(5)] for row in _GLYPHS[self.marker]], bool)
        letter = np.kron(bits, np.ones((scale, scale), bool))
        height, width = letter.shape
        row = int((self.marker_height + 1) / 2 * size)
        column = size - width - size // 16 if self.marker == "L" else size // 16
        if row + height <= size:
            image[row : row + height, column : column + width][letter] = 250
