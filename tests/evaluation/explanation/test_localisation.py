"""Where a map is high and where a lesion is: naive counts, and maps that know nothing, or the usual place."""

import numpy as np
import pytest
import torch
from discs import SIZE
from numpy.typing import NDArray

from fedcxr.evaluation.explanation.localisation import compare_localisation, localise, mean_masks
from fedcxr.evaluation.explanation.ranking import saliency_ranking, stand_ins
from fedcxr.models.attention import enlarge


def test_scores_are_those_counted_place_by_place() -> None:
    generator = np.random.default_rng(0)
    maps = generator.random((20, 8, 8)).astype(np.float32)
    masks = generator.random((20, 8, 8)) < 0.3
    found = localise(maps, masks, 0)
    for own, mask, (hit, coverage, energy, chance) in zip(maps, masks, found, strict=True):
        best = np.unravel_index(own.argmax(), own.shape)
        assert hit == mask[best]
        bar = np.sort(own.ravel())[::-1][mask.sum() - 1]
        assert coverage == pytest.approx((own[mask] >= bar).mean())
        assert energy == pytest.approx(own[mask].sum() / own.sum(), rel=1e-5)
        assert chance == mask.mean()
    nothing = localise(np.zeros((1, 8, 8), dtype=np.float32), masks[:1], 0)
    assert nothing[0, :3].tolist() == [0, 0, 0]
    perfect = localise(masks.astype(np.float32), masks, 0)
    assert (perfect[:, :3] == 1).all()


def test_pixels_that_are_alike_come_in_random_order() -> None:
    order = saliency_ranking(np.ones((4000, 4, 4), dtype=np.float32), 0)
    first = np.bincount(order[:, 0], minlength=16) / 4000
    assert np.abs(first - 1 / 16).max() < 0.02
    assert (np.sort(order, axis=1) == np.arange(16)).all()
    np.testing.assert_array_equal(order, saliency_ranking(np.ones((4000, 4, 4), dtype=np.float32), 0))
    steps = np.arange(16, dtype=np.float32).reshape(1, 4, 4) // 2
    assert (steps.reshape(-1)[saliency_ranking(steps, 1)[0]] == np.repeat(np.arange(7, -1, -1), 2)).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_stand_in_is_of_the_label_and_of_another_patient(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels, patients = generator.integers(0, 4, 60), generator.integers(0, 25, 60)
    found = stand_ins(labels, patients, seed)
    told = found >= 0
    assert told.all()
    assert (labels[found] == labels).all()
    assert (patients[found] != patients).all()
    assert len(np.unique(found)) == 60
    alone = stand_ins(np.array([0, 0, 0, 1]), np.array([7, 7, 8, 9]), seed)
    assert (alone[:3] >= 0).sum() == 2  # one of the two of a patient has nobody left
    assert alone[3] == -1


def test_the_usual_place_is_that_of_other_patients() -> None:
    masks = np.random.default_rng(0).random((9, 4, 4)) < 0.4
    labels, patients = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2]), np.array([0, 0, 1, 2, 0, 1, 2, 5, 5])
    found = mean_masks(masks, labels, patients)
    for case in range(9):
        others = [k for k in range(9) if labels[k] == labels[case] and patients[k] != patients[case]]
        expected = masks[others].mean(axis=0) if others else np.zeros((4, 4))
        np.testing.assert_allclose(found[case], expected, atol=1e-6)


def centred(count: int, seed: int) -> NDArray[np.bool_]:
    """Lesions that are in one half of the image, as hearts are."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    row, column = generator.uniform(10, 22, (2, count, 1, 1))
    found: NDArray[np.bool_] = (y - row) ** 2 + (x - column) ** 2 < 30
    return found


def test_a_map_of_the_usual_place_is_above_the_area_and_gains_nothing() -> None:
    """Whoever knows where such lesions are, and does not look, must not seem to have looked."""
    masks = centred(200, seed=1)
    labels, patients = np.zeros(200, dtype=np.int64), np.arange(200)
    unseeing = mean_masks(masks, labels, patients)
    found, by_label, own = compare_localisation(unseeing, masks, labels, patients, resamples=200, seed=0)
    np.testing.assert_array_equal(own, localise(unseeing, masks, 0))
    assert by_label == {0: found}
    assert found.coverage.value is not None
    assert found.area.value is not None
    assert found.coverage.value > found.area.value + 0.1
    for gain in (found.hit_gain, found.coverage_gain):
        assert gain.low is not None
        assert gain.high is not None
        assert gain.low < 0.02
        assert gain.high > -0.02
    assert found.coverage_usual == found.coverage
    seeing, _, _ = compare_localisation(
        masks.astype(np.float32), masks, labels, patients, resamples=200, seed=0
    )
    assert seeing.coverage.value == 1.0
    assert seeing.coverage_gain.low is not None
    assert seeing.coverage_gain.low > 0.3


@pytest.mark.parametrize("side", [1, 2, 8])
def test_a_map_that_says_nothing_comes_to_the_area_however_coarse(side: int) -> None:
    masks = centred(300, seed=2)
    flat = enlarge(torch.ones(300, 1, side, side), (SIZE, SIZE))[:, 0].numpy()
    labels, patients = np.zeros(300, dtype=np.int64), np.arange(300)
    found, _, _ = compare_localisation(flat, masks, labels, patients, resamples=200, seed=0)
    for own in (found.hit, found.coverage, found.energy):
        assert own.value == pytest.approx(found.area.value, abs=0.03)


@pytest.mark.parametrize("side", [3, 5, 7])
def test_what_rounding_leaves_on_a_plateau_decides_no_order(side: int) -> None:
    flat = enlarge(torch.full((2, 1, side, side), 1 / side**2), (SIZE, SIZE))[:, 0].numpy()
    assert flat.min() < flat.max()
    np.testing.assert_array_equal(saliency_ranking(flat, 0), saliency_ranking(np.ones_like(flat), 0))
