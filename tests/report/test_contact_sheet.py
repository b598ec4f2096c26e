"""The contact sheet: its shape, its outlines, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedcxr.config import Phantom
from fedcxr.data.chexpert import ChexpertTable, read_table
from fedcxr.data.phantom import generate
from fedcxr.errors import DataError
from fedcxr.report.contact_sheet import contact_sheet, outline, write_sheet


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ChexpertTable:
    root = tmp_path_factory.mktemp("phantom")
    generate(root, Phantom(hospitals=1, patients=40, size=32), 1)
    return read_table(root / "train.csv", root)


def yellow(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., 0] == 255) & (pixels[..., 2] == 0)


def test_a_sheet_has_a_row_a_label_and_outlines_the_lesion(table: ChexpertTable) -> None:
    sheet = contact_sheet(table, labels=["No Finding", "Pleural Effusion"], columns=2, cell=64)
    pixels = np.asarray(sheet)
    assert pixels.shape[1] == 128
    half = pixels.shape[0] // 2
    healthy, sick = pixels[15:half], pixels[half + 15 :]
    assert not yellow(healthy).any()
    assert yellow(sick).any()


def test_images_without_masks_are_shown_without_outlines(table: ChexpertTable, tmp_path: Path) -> None:
    (tmp_path / "train").symlink_to(table.root / "train")
    (tmp_path / "train.csv").write_bytes(table.csv.read_bytes())
    plain = read_table(tmp_path / "train.csv", tmp_path)
    assert not yellow(np.asarray(contact_sheet(plain, labels=["Pleural Effusion"], cell=64))[15:]).any()


def test_a_written_sheet_keeps_its_ink_and_its_greys_nearly(table: ChexpertTable, tmp_path: Path) -> None:
    sheet = contact_sheet(table, labels=["Pleural Effusion"], columns=2, cell=64)
    write_sheet(sheet, tmp_path / "docs" / "sheet.png")
    with Image.open(tmp_path / "docs" / "sheet.png") as written:
        pixels = np.asarray(written.convert("RGB")).astype(int)
    before = np.asarray(sheet).astype(int)
    ink = yellow(before)
    assert (pixels[ink] == before[ink]).all()
    assert np.abs(pixels - before)[15:].max() <= 7  # one step of the palette


@pytest.mark.parametrize("label", ["Pneumonia", "Hernia"])
def test_a_label_without_a_positive_is_an_error(table: ChexpertTable, label: str) -> None:
    with pytest.raises(DataError, match=label):
        contact_sheet(table, labels=[label])


def test_an_outline_is_the_border_of_the_mask() -> None:
    mask = np.zeros((5, 6), bool)
    mask[1:4, 1:5] = True
    expected = mask.copy()
    expected[2, 2:4] = False
    assert (outline(mask) == expected).all()
