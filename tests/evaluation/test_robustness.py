"""Corruptions do what they are named for, the same for any batch, and a model's drop is paired."""

import io

import numpy as np
import pytest
from discs import EDEMA, disc_config, disc_images, disc_shards, disc_valid
from PIL import Image, ImageFilter
from scipy import ndimage

from fedcxr.errors import DataError
from fedcxr.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from fedcxr.evaluation.robustness import measure_robustness
from fedcxr.models.registry import create_model
from fedcxr.training.trainer import train

IMAGES, _ = disc_images(6, seed=0)
NUMBERS = np.arange(6)


def apply(kind: str, severity: int) -> np.ndarray:
    return corrupt(IMAGES, kind, severity, numbers=NUMBERS, seed=1)


@pytest.mark.parametrize("kind", list(CORRUPTIONS))
def test_an_image_is_corrupted_alike_in_any_batch_and_more_with_severity(kind: str) -> None:
    distances = []
    for severity in SEVERITIES:
        whole = apply(kind, severity)
        assert (whole.dtype, whole.shape) == (np.uint8, IMAGES.shape)
        part = corrupt(IMAGES[3:5], kind, severity, numbers=NUMBERS[3:5], seed=1)
        assert (part == whole[3:5]).all()
        distances.append(np.abs(whole.astype(int) - IMAGES).mean())
    assert distances == sorted(distances)
    assert distances[0] > 0


def test_noise_has_the_deviation_that_it_says() -> None:
    grey = np.full((4, 64, 64), 128, dtype=np.uint8)
    noisy = corrupt(grey, "noise", 1, numbers=np.arange(4), seed=0).astype(float)
    assert noisy.std() == pytest.approx(0.08 * 255, rel=0.03)
    assert noisy.mean() == pytest.approx(128, abs=0.5)
    assert (noisy[0] != noisy[1]).any()
    other = corrupt(grey, "noise", 1, numbers=np.arange(4), seed=1)
    assert (other != noisy).any()


def test_blur_is_scipys() -> None:
    image = np.kron(IMAGES[0], np.ones((7, 7), dtype=np.uint8))  # 224 px, where widths are as written
    blurred = corrupt(image[None], "blur", 3, numbers=np.arange(1), seed=0)[0]
    expected = ndimage.gaussian_filter(image.astype(np.float32), 3.0, mode="mirror", radius=9)
    assert np.abs(blurred - expected).max() < 0.6
    pillow = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(3)), dtype=float)
    assert np.abs(blurred[20:-20, 20:-20] - pillow[20:-20, 20:-20]).mean() < 1.5


def test_contrast_shrinks_towards_the_mean() -> None:
    expected = (IMAGES[2] - IMAGES[2].mean()) * 0.2 + IMAGES[2].mean()
    assert np.abs(apply("contrast", 3)[2] - expected).max() <= 0.51


def test_compression_is_what_the_codec_gives() -> None:
    file = io.BytesIO()
    Image.fromarray(IMAGES[1]).save(file, "JPEG", quality=15)
    assert (apply("compression", 3)[1] == np.asarray(Image.open(file))).all()


def test_rotation_turns_about_the_centre_to_either_side() -> None:
    smooth = ndimage.gaussian_filter(IMAGES.astype(float), (0, 2, 2)).astype(np.uint8)
    turned = corrupt(smooth, "rotation", 4, numbers=NUMBERS, seed=0).astype(float)
    inner = (slice(8, 24), slice(8, 24))
    for row, angle in ((0, 15), (1, -15)):
        either = [
            np.abs(
                turned[row] - ndimage.rotate(smooth[row].astype(float), sign * angle, reshape=False, order=1)
            )
            for sign in (1, -1)
        ]
        assert either[0][inner].mean() < 1.0
        assert either[1][inner].mean() > 2.0


def test_what_does_not_exist_is_named() -> None:
    with pytest.raises(DataError, match="no corruption 'fog'"):
        apply("fog", 1)
    with pytest.raises(DataError, match="severity 6"):
        apply("blur", 6)


def test_a_trained_model_loses_by_noise_and_the_drop_is_paired() -> None:
    config = disc_config({"federation.rounds": 1, "training.local_epochs": 4})
    valid = disc_valid(60)
    model = create_model(config.model, seed=0)
    train(model, disc_shards({"north": 256})["north"], config=config, round_index=1, hospital="north")
    found = measure_robustness(model, valid, config, corruptions=("noise", "contrast"), severities=(1, 5))
    assert [(row.corruption, row.severity) for row in found.rows] == [
        ("noise", 1), ("noise", 5), ("contrast", 1), ("contrast", 5)
    ]  # fmt: skip
    clean = valid.evaluate(valid.predict(model, config), config).labels[EDEMA]
    assert found.clean.value == clean.value
    worst = found.rows[1]
    assert worst.drop.value is not None
    assert worst.mean_auroc.value is not None
    assert found.clean.value is not None
    assert worst.drop.value == pytest.approx(found.clean.value - worst.mean_auroc.value)
    assert worst.drop.value > 0.03
    drops = [row.drop.value for row in found.rows if row.drop.value is not None]
    assert found.mean_drop.value == pytest.approx(np.mean(drops))
    again = measure_robustness(model, valid, config, corruptions=("noise", "contrast"), severities=(1, 5))
    assert again == found
