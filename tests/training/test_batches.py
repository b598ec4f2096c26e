"""The order of images, and the reading of one batch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcxr.data.examples import Examples
from fedcxr.errors import DataError
from fedcxr.training.batches import batch_count, epoch_batches, grouping, read_batch


@settings(deadline=None)
@given(st.integers(2, 300), st.integers(2, 70), st.integers(0, 2**31))
def test_an_epoch_sees_every_image_once_in_batches_of_nearly_one_size(
    count: int, batch_size: int, seed: int
) -> None:
    batches = list(epoch_batches(count, batch_size, torch.Generator().manual_seed(seed)))
    sizes = {len(batch) for batch in batches}
    assert sorted(np.concatenate(batches)) == list(range(count))
    assert len(batches) == batch_count(count, batch_size)
    assert max(sizes) <= batch_size + (batch_size == 2)
    assert max(sizes) - min(sizes) <= 1


@settings(deadline=None)
@given(st.integers(2, 300), st.integers(2, 70))
def test_no_batch_is_a_single_image(count: int, batch_size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    assert min(len(batch) for batch in epoch_batches(count, batch_size, generator)) >= 2


def test_each_epoch_has_an_order_of_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (np.concatenate(list(epoch_batches(50, 8, generator))) for _ in range(2))
    assert not np.array_equal(first, second)


class CountingImages(np.ndarray):
    """An array that notes which rows were asked for."""

    asked: list[np.ndarray]

    def __getitem__(self, key: object) -> np.ndarray:  # type: ignore[override]
        self.asked.append(np.asarray(key))
        return np.asarray(super().__getitem__(key))  # type: ignore[index]


def test_a_batch_reads_its_own_rows_only_and_keeps_images_with_their_labels() -> None:
    count = 50
    images = np.arange(count, dtype=np.uint8).repeat(16).reshape(count, 4, 4).view(CountingImages)
    images.asked = []
    rows = np.random.default_rng(0).permutation(count)[:20]
    targets = np.repeat(rows[:, None] / 100, 14, axis=1).astype(np.float32)
    mask = np.repeat(rows[:, None] % 2 == 0, 14, axis=1)
    batch = read_batch(Examples(images, rows, targets, mask), np.array([3, 17, 0, 9]))
    assert [list(key) for key in images.asked] == [sorted(rows[[3, 17, 0, 9]])]
    shown = (batch.images[:, 0, 0, 0] * 255).round()
    torch.testing.assert_close(batch.targets[:, 0] * 100, shown)
    assert torch.equal(batch.mask[:, 0], shown % 2 == 0)


@settings(deadline=None)
@given(st.integers(2, 200), st.integers(3, 40), st.integers(1, 60), st.integers(0, 2**31))
def test_with_groups_an_epoch_sees_every_image_once_in_batches_of_similar_size(
    count: int, batch_size: int, patients: int, seed: int
) -> None:
    groups = np.random.default_rng(seed).integers(0, patients, count)
    batches = list(epoch_batches(count, batch_size, torch.Generator().manual_seed(seed), groups))
    assert sorted(np.concatenate(batches)) == list(range(count))
    assert len(batches) == batch_count(count, batch_size)
    assert min(map(len, batches)) >= 2
    assert max(map(len, batches)) <= 1.5 * count / len(batches) + 1


def test_images_of_one_patient_come_in_one_batch() -> None:
    groups = np.repeat(np.arange(40), 3)[np.random.default_rng(0).permutation(120)]
    generator = torch.Generator().manual_seed(0)
    orders = []
    for _ in range(5):
        batches = list(epoch_batches(120, 16, generator, groups))
        homes = [{number for number, batch in enumerate(batches) if g in groups[batch]} for g in range(40)]
        assert all(len(home) == 1 for home in homes)
        orders.append(np.concatenate(batches).tolist())
    assert len({tuple(order) for order in orders}) == 5


def test_a_group_larger_than_a_batch_is_cut() -> None:
    batches = list(epoch_batches(64, 16, torch.Generator().manual_seed(0), np.zeros(64, np.int64)))
    assert [len(batch) for batch in batches] == [16] * 4


def test_groups_come_from_studies_or_patients_and_must_be_known() -> None:
    images = np.zeros((3, 4, 4), np.uint8)
    labels = np.zeros((3, 14), np.float32)
    rows, mask = np.arange(3), np.ones((3, 14), np.bool_)
    known = Examples(images, rows, labels, mask, patients=np.array([7, 7, 9]), studies=np.array([1, 2, 3]))
    assert grouping(known, "views") is None
    assert list(grouping(known, "patient")) == [7, 7, 9]
    assert list(grouping(known, "study")) == [1, 2, 3]
    with pytest.raises(DataError, match=r"training.positives = 'study'"):
        grouping(Examples(images, rows, labels, mask), "study")
