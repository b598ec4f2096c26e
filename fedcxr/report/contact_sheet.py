"""A contact sheet: a few images of each finding, with the lesion outlined where a mask is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fedcxr import files
from fedcxr.data.chexpert import ChexpertTable
from fedcxr.data.labels import LABELS
from fedcxr.data.phantom import mask_path, read_mask
from fedcxr.errors import DataError

_INK = (255, 196, 0)  # of outlines and captions; nothing on a radiograph is yellow
_CAPTION = 15  # pixels over each row


def contact_sheet(
    table: ChexpertTable, *, labels: Sequence[str] | None = None, columns: int = 6, cell: int = 128
) -> Image.Image:
    """Lay out one row of images for each label, each of another patient, fewest other findings first.

    Args:
        table: read from a folder in the CheXpert layout; outlines appear where it has phantom masks.
        labels: the rows; by default every label with a positive, in CheXpert's order.
        columns: images a row.
        cell: pixels a side of each image.

    Returns:
        RGB image, ``columns * cell`` wide.

    Raises:
        DataError: a label is unknown, or has no positive in the table.
    """
    chosen = (
        tuple(labels)
        if labels is not None
        else tuple(name for k, name in enumerate(LABELS) if (table.labels[:, k] == 1).any())
    )
    if not chosen:
        raise DataError(f"{table.csv}: no label has a positive, so there is nothing to show.")
    height = cell + _CAPTION
    sheet = Image.new("RGB", (columns * cell, len(chosen) * height))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for line, name in enumerate(chosen):
        rows = _choose(table, name, columns)
        pen.text((3, line * height + 1), name, fill=_INK, font=font)
        for column, row in enumerate(rows):
            sheet.paste(_picture(table, int(row), name, cell), (column * cell, line * height + _CAPTION))
    return sheet


def write_sheet(sheet: Image.Image, path: Path) -> None:
    """Write a sheet as a PNG of 40 greys and the ink: a third of the bytes, and it looks the same."""
    greys = np.linspace(0, 255, 40).round().astype(np.uint8)
    colours = [value for grey in greys.tolist() for value in (grey, grey, grey)] + list(_INK)
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours)
    inked = sheet.quantize(palette=palette, dither=Image.Dither.NONE)
    files.write_with(path, lambda file: inked.save(file, "PNG", optimize=True))


def _choose(table: ChexpertTable, name: str, count: int) -> NDArray[np.int64]:
    if name not in LABELS:
        raise DataError(f"no label {name!r} (allowed: {', '.join(LABELS)}).")
    positive = np.flatnonzero(table.labels[:, LABELS.index(name)] == 1)
    if not len(positive):
        raise DataError(f"{table.csv}: {name} has no positive, so there is nothing to show.")
    _, first = np.unique(table.patient_codes[positive], return_index=True)
    own = positive[first]
    others = (np.abs(table.labels[own]) == 1).sum(axis=1)
    return np.asarray(own[np.argsort(others, kind="stable")][:count], np.int64)


def _picture(table: ChexpertTable, row: int, name: str, cell: int) -> Image.Image:
    path = str(table.paths[row])
    with Image.open(table.root / path) as stored:
        picture = stored.convert("L").resize((cell, cell), Image.Resampling.LANCZOS).convert("RGB")
    if mask_path(table.root, path).is_file():
        mask = Image.fromarray(read_mask(table.root, path)[LABELS.index(name)])
        inside = np.asarray(mask.resize((cell, cell), Image.Resampling.NEAREST))
        pixels = np.array(picture)
        pixels[outline(inside)] = _INK
        picture = Image.fromarray(pixels)
    return picture


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask, bool (H, W), that have a neighbour outside it."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner
