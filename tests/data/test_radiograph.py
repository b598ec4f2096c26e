from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedcxr.data.radiograph import Stamp, UnreadableError, decode


def save(path: Path, pixels: np.ndarray | Image.Image, **options: object) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def ramp(height: int, width: int) -> np.ndarray:
    """Grey that rises from left to right."""
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))


def test_an_image_of_the_wanted_size_is_kept_byte_for_byte(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    pixels, stamp = decode(save(tmp_path / "a.png", noise), 48)
    np.testing.assert_array_equal(pixels, noise)
    assert stamp == Stamp.of((tmp_path / "a.png").stat())


@pytest.mark.parametrize(("height", "width"), [(64, 128), (128, 64)])
def test_the_centre_square_is_cut_at_the_shorter_side(tmp_path: Path, height: int, width: int) -> None:
    image = np.zeros((height, width), dtype=np.uint8)
    top, left = (height - 64) // 2, (width - 64) // 2
    image[top : top + 64, left : left + 64] = 200
    pixels, _ = decode(save(tmp_path / "a.png", image), 32)
    assert pixels.shape == (32, 32)
    assert np.abs(pixels.astype(int) - 200).max() < 15  # the filter sees a little beyond the square's edge


def test_reduction_is_antialiased(tmp_path: Path) -> None:
    stripes = np.zeros((256, 256), dtype=np.uint8)
    stripes[:, ::2] = 255  # finer than the result can show: without a filter it would be all black or white
    pixels, _ = decode(save(tmp_path / "a.png", stripes), 32)
    assert np.abs(pixels.astype(int) - 127).max() <= 8


def test_a_large_jpeg_is_reduced_like_its_full_decoding(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    smooth = Image.fromarray(generator.integers(0, 256, (80, 96), dtype=np.uint8)).resize((960, 800))
    path = save(tmp_path / "a.jpg", smooth, quality=95)
    pixels, _ = decode(path, 64)
    with Image.open(path) as image:
        box = (80, 0, 880, 800)
        full = np.asarray(image.resize((64, 64), Image.Resampling.LANCZOS, box=box)).astype(int)
    assert np.abs(pixels.astype(int) - full).mean() < 1.5


def test_grey_stored_as_rgb_or_with_an_opaque_alpha_is_the_same_grey(tmp_path: Path) -> None:
    grey = Image.fromarray(ramp(40, 40))
    expected, _ = decode(save(tmp_path / "l.png", grey), 40)
    for mode in ("RGB", "LA", "RGBA"):
        pixels, _ = decode(save(tmp_path / f"{mode}.png", grey.convert(mode)), 40)
        np.testing.assert_array_equal(pixels, expected)


def test_a_sixteen_bit_image_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", (ramp(40, 40).astype(np.uint16) * 257))
    with pytest.raises(UnreadableError, match="more than 8 bits"):
        decode(path, 32)


@pytest.mark.parametrize(
    ("mode", "name", "complaint"),
    [("CMYK", "a.jpg", "CMYK"), ("P", "a.png", "mode is P"), ("1", "a.png", "mode is 1")],
)
def test_a_mode_that_is_no_radiograph_is_refused(
    tmp_path: Path, mode: str, name: str, complaint: str
) -> None:
    path = save(tmp_path / name, Image.fromarray(ramp(40, 40)).convert(mode))
    with pytest.raises(UnreadableError, match=complaint):
        decode(path, 32)


def test_transparency_is_refused(tmp_path: Path) -> None:
    image = Image.fromarray(ramp(40, 40)).convert("LA")
    image.putalpha(Image.fromarray(ramp(40, 40)))
    with pytest.raises(UnreadableError, match="transparent"):
        decode(save(tmp_path / "a.png", image), 32)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    path = save(tmp_path / name, noise)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UnreadableError):
        decode(path, 32)


def test_an_empty_a_missing_and_a_foreign_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(UnreadableError, match="empty"):
        decode(tmp_path / "empty.jpg", 32)
    with pytest.raises(UnreadableError, match="no such file"):
        decode(tmp_path / "missing.jpg", 32)
    with pytest.raises(UnreadableError, match="directory"):
        decode(tmp_path, 32)
    foreign = save(tmp_path / "a.bmp", ramp(40, 40))
    with pytest.raises(UnreadableError, match="not a JPEG or PNG"):
        decode(foreign, 32)
