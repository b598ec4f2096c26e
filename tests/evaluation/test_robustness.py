"""Corruptions do what they are named for, the same for any batch, and a model's drop is paired."""

import io
from dataclasses import replace

import numpy as np
import pytest
from discs import EDEMA, disc_config, disc_images, disc_shards, disc_valid
from PIL import Image, ImageFilter
from scipy import ndimage

from fedcxr.config import Config
from fedcxr.data.labels import LABELS
from fedcxr.errors import DataError
from fedcxr.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from fedcxr.evaluation.inference import predict
from fedcxr.evaluation.robustness import measure_robustness
from fedcxr.models.network import Network
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


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_has_the_deviation_that_it_says(severity: int) -> None:
    grey = np.full((4, 64, 64), 128, dtype=np.uint8)
    noisy = corrupt(grey, "noise", severity, numbers=np.arange(4), seed=0).astype(float)
    deviation = 255 * (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1]  # ImageNet-C's
    drawn = np.clip(128 + deviation * np.random.default_rng(1).standard_normal(1 << 18), 0, 255)
    assert noisy.std() == pytest.approx(drawn.std(), rel=0.02)
    assert noisy.mean() == pytest.approx(drawn.mean(), abs=2.0)
    assert (noisy[0] != noisy[1]).any()
    other = corrupt(grey, "noise", severity, numbers=np.arange(4), seed=1)
    assert (other != noisy).any()


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("side", [32, 128, 224, 448])
def test_blur_is_scipys_as_wide_as_the_benchmarks_for_the_images_side(side: int, severity: int) -> None:
    small = (0.4, 0.6, 0.7, 0.8, 1.0)[severity - 1]  # CIFAR-10-C's
    large = (1.0, 2.0, 3.0, 4.0, 6.0)[severity - 1]  # ImageNet-C's
    sigma = {32: small, 128: (small + large) / 2, 224: large, 448: 2 * large}[side]
    image = np.kron(IMAGES[0], np.ones((side // 32, side // 32), dtype=np.uint8))
    blurred = corrupt(image[None], "blur", severity, numbers=np.arange(1), seed=0)[0]
    seen, radius = image.astype(np.float32), max(1, round(3 * sigma))
    expected = ndimage.gaussian_filter(seen, sigma, mode="mirror", radius=radius)
    assert np.abs(blurred - expected).max() < 0.6


def test_blur_is_pillows_but_for_its_boxes() -> None:
    image = np.kron(IMAGES[0], np.ones((7, 7), dtype=np.uint8))
    blurred = corrupt(image[None], "blur", 3, numbers=np.arange(1), seed=0)[0]
    pillow = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(3)), dtype=float)
    assert np.abs(blurred[20:-20, 20:-20] - pillow[20:-20, 20:-20]).mean() < 1.5


@pytest.mark.parametrize("severity", SEVERITIES)
def test_contrast_shrinks_towards_the_mean(severity: int) -> None:
    left = (0.4, 0.3, 0.2, 0.1, 0.05)[severity - 1]  # ImageNet-C's
    expected = (IMAGES[2] - IMAGES[2].mean()) * left + IMAGES[2].mean()
    assert np.abs(apply("contrast", severity)[2] - expected).max() <= 0.51


@pytest.mark.parametrize("severity", SEVERITIES)
def test_compression_is_what_the_codec_gives(severity: int) -> None:
    file = io.BytesIO()
    Image.fromarray(IMAGES[1]).save(file, "JPEG", quality=(25, 18, 15, 10, 7)[severity - 1])  # ImageNet-C's
    assert (apply("compression", severity)[1] == np.asarray(Image.open(file))).all()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_rotation_turns_about_the_centre_to_either_side(severity: int) -> None:
    smooth = ndimage.gaussian_filter(IMAGES.astype(float), (0, 2, 2)).astype(np.uint8)
    turned = corrupt(smooth, "rotation", severity, numbers=NUMBERS, seed=0).astype(float)
    declared = (3, 6, 10, 15, 25)[severity - 1]
    inner = (slice(8, 24), slice(8, 24))
    for row, angle in ((0, declared), (1, -declared)):
        seen = smooth[row].astype(float)
        faults = {
            turn: np.abs(turned[row] - ndimage.rotate(seen, turn, reshape=False, order=1))[inner].mean()
            for turn in range(-30, 31)
        }
        assert min(faults, key=lambda turn: faults[turn]) == angle
        assert faults[angle] < 1.0


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


def test_every_kind_is_measured_at_every_severity_on_the_images_that_it_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = disc_config({"evaluation.batch_size": 2, "evaluation.bootstrap": 0})  # 24 images: two parts
    valid, model = disc_valid(24), create_model(config.model, seed=0)
    valid.labels[:, LABELS.index("Fracture")] = np.arange(24) // 2 % 2  # which is none of the five tasks
    met: list[np.ndarray] = []

    def watched(network: Network, images: np.ndarray, rows: np.ndarray, settings: Config) -> np.ndarray:
        met.append(images[rows])
        return predict(network, images, rows, settings)

    monkeypatch.setattr("fedcxr.evaluation.robustness.predict", watched)
    told: list[tuple[int, int]] = []
    found = measure_robustness(model, valid, config, progress=lambda *count: told.append(count))
    kinds = ("noise", "blur", "contrast", "compression", "rotation")
    assert [(row.corruption, row.severity) for row in found.rows] == [
        (kind, severity) for kind in kinds for severity in (1, 2, 3, 4, 5)
    ]
    assert told == [(done, 25) for done in range(1, 26)]
    assert len(met) == 50
    before = valid.images
    for row, halves in zip(found.rows, zip(met[::2], met[1::2], strict=True), strict=True):
        images = np.concatenate(halves)
        if row.severity == 1:
            before = valid.images
        assert (images != before).any(axis=(1, 2)).all()  # each image is another at each severity
        before = images
        numbers = np.arange(24)
        expected = corrupt(valid.images, row.corruption, row.severity, numbers=numbers, seed=config.seed)
        np.testing.assert_array_equal(images, expected)
        scores = replace(valid, images=images).evaluate(predict(model, images, numbers, config), config)
        assert row.mean_auroc.value == scores.macro.value
        assert row.competition.value == scores.competition.value
