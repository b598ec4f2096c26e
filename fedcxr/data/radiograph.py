"""One radiograph: a JPEG or PNG file decoded to a square of grey bytes.

The shorter side is brought to the wanted size, the aspect ratio kept, and the centre cut out: the usual
treatment of CheXpert, whose images are 390 x 320 in the small release. Both happen in one resampling with
Pillow's antialiased Lanczos filter, on the exact (fractional) square, so nothing is rounded twice.

What is read: 8-bit grey and RGB, with or without an alpha channel that is fully opaque; colour becomes grey
by ITU-R 601 luma, which leaves a grey image stored as RGB unchanged. What is refused: 16-bit and float
images, for their window is not known (export them at 8 bits), CMYK, palettes and real transparency. An image
smaller than the wanted size is enlarged. A JPEG several times larger than wanted is decoded at a half, a
quarter or an eighth, but never below twice the wanted size: it is quicker, and the filter still sees every
frequency that the result can hold.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

GEOMETRY = "shorter side to size, centre square, Lanczos"
"""What a cache says about its pixels; another text is another cache."""

_FORMATS = ("JPEG", "PNG")
_OPAQUE = 255


class UnreadableError(Exception):
    """Why a file is no radiograph. Which row names it, the caller knows, and makes an ImageError of both."""


@dataclass(frozen=True)
class Stamp:
    """What tells that a file has changed: its size in bytes and its modification time in nanoseconds."""

    size: int
    modified: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_size, status.st_mtime_ns)


def decode(path: Path, size: int) -> tuple[NDArray[np.uint8], Stamp]:
    """Decode a file.

    Args:
        path: a JPEG or PNG file.
        size: pixels a side of the result.

    Returns:
        uint8 (size, size), and the stamp of the file as it was opened.

    Raises:
        UnreadableError: missing, empty, truncated, not JPEG or PNG, or of a kind that is refused.
    """
    try:
        with path.open("rb") as file:
            stamp = Stamp.of(os.fstat(file.fileno()))
            if not stamp.size:
                raise UnreadableError("the image file is empty")
            with Image.open(file, formats=_FORMATS) as image:
                return _square(image, size), stamp
    except UnidentifiedImageError:
        raise UnreadableError("not a JPEG or PNG image") from None
    except OSError as error:
        reason = error.strerror or str(error)  # the system's words, or Pillow's: "image file is truncated"
        raise UnreadableError(reason[:1].lower() + reason[1:]) from None
    except (SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise UnreadableError(f"damaged image: {error}") from None


def _square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    if image.mode in ("L", "RGB"):
        image.draft("L", (2 * size, 2 * size))
    grey = _grey(image)
    side = min(grey.size)
    left, top = (grey.width - side) / 2, (grey.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(grey.resize((size, size), Image.Resampling.LANCZOS, box=box))


def _grey(image: Image.Image) -> Image.Image:
    match image.mode:
        case "L" | "RGB":
            return image.convert("L")
        case "LA" | "RGBA":
            if image.getchannel("A").getextrema() != (_OPAQUE, _OPAQUE):
                raise UnreadableError("the image is partly transparent; save it as 8-bit grey")
            return image.convert("L")
        case "I" | "F" | "I;16" | "I;16B" | "I;16L" | "I;16N":
            raise UnreadableError(
                "the image has more than 8 bits a pixel and no window; export it as 8-bit grey"
            )
        case other:
            raise UnreadableError(f"the image's mode is {other}; save it as 8-bit grey")
