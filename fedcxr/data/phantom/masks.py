"""Lesion masks on disk: one 16-bit greyscale PNG an image, bit k where finding ``LABELS[k]`` is."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from fedcxr.data.labels import LABELS
from fedcxr.errors import ImageError


def mask_path(root: Path, image: str) -> Path:
    """The mask of an image; ``image`` is its path relative to ``root``, as in a table."""
    return (root / "masks" / image).with_suffix(".png")


def pack(masks: Mapping[str, NDArray[np.bool_]], size: int) -> NDArray[np.uint16]:
    """Masks by label, each bool (size, size), as bits: uint16 (size, size)."""
    bits = np.zeros((size, size), np.uint16)
    for name, mask in masks.items():
        bits |= mask.astype(np.uint16) << np.uint16(LABELS.index(name))
    return bits


def unpack(bits: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Bits as masks, bool (14, S, S) in the order of ``LABELS``."""
    shifts = np.arange(len(LABELS), dtype=np.uint16)[:, None, None]
    return (bits[None] >> shifts & np.uint16(1)).astype(bool)


def encode_mask(bits: NDArray[np.uint16], comment: str) -> bytes:
    """A PNG with ``comment`` in its text."""
    notice = PngImagePlugin.PngInfo()
    notice.add_text("Comment", comment)
    packed = io.BytesIO()
    Image.fromarray(bits).save(packed, "PNG", pnginfo=notice, compress_level=1)
    return packed.getvalue()


def read_mask(root: Path, image: str) -> NDArray[np.bool_]:
    """The masks of an image, bool (14, S, S) in the order of ``LABELS``.

    Raises:
        ImageError: there is no mask, or it is no 16-bit PNG.
    """
    path = mask_path(root, image)
    try:
        with Image.open(path) as stored:
            bits = np.asarray(stored)
    except OSError as error:
        raise ImageError(f"{path}: no readable mask ({error}). Only phantoms have masks.") from None
    if bits.ndim != 2 or not stored.mode.startswith("I"):
        raise ImageError(f"{path}: a mask is a 16-bit greyscale PNG, this is {stored.mode}.")
    return unpack(bits.astype(np.uint16))
