"""Scaling and augmentation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcxr.data.transforms import Augmentation, augment, normalise, to_float

STILL = Augmentation(
    min_area=1.0, aspect=1.0, rotation=0.0, brightness=0.0, contrast=0.0, gamma=0.0, noise=0.0
)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_no_strength_leaves_an_image_as_it_is_and_full_strength_is_the_default() -> None:
    images = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    same = augment(images.clone(), torch.Generator().manual_seed(1), Augmentation.scaled(0.0))
    assert torch.allclose(same, images, atol=1e-5)
    assert Augmentation.scaled(1.0) == Augmentation()


def test_bytes_become_floats_in_the_unit_interval() -> None:
    images = np.array([[[0, 255], [51, 102]]], dtype=np.uint8)
    floats = to_float(images)
    assert floats.shape == (1, 1, 2, 2)
    torch.testing.assert_close(floats.flatten(), torch.tensor([0.0, 1.0, 0.2, 0.4]))


def test_scaling_reads_a_read_only_map_and_leaves_it_alone() -> None:
    images = np.full((2, 4, 4), 7, dtype=np.uint8)
    images.flags.writeable = False
    to_float(images).zero_()
    assert (images == 7).all()


def test_normalised_images_span_minus_one_to_one() -> None:
    torch.testing.assert_close(normalise(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([-1.0, 0.0, 1.0]))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.sampled_from([32, 47, 64]), st.integers(0, 2**62))
def test_views_keep_shape_and_range(count: int, size: int, seed: int) -> None:
    images = torch.rand(count, 1, size, size, generator=generator(seed))
    seen = augment(images, generator(seed))
    assert seen.shape == images.shape
    assert seen.dtype == torch.float32
    assert 0.0 <= float(seen.min()) <= float(seen.max()) <= 1.0


def test_the_same_generator_state_gives_the_same_view() -> None:
    images = torch.rand(3, 1, 32, 32, generator=generator(0))
    assert torch.equal(augment(images, generator(5)), augment(images, generator(5)))


def test_two_views_of_one_image_differ() -> None:
    image = torch.rand(1, 1, 32, 32, generator=generator(0))
    first, second = augment(image.repeat(2, 1, 1, 1), generator(1))
    assert not torch.equal(first, second)


def test_augmentation_leaves_its_input_and_the_global_generator_alone() -> None:
    images = torch.rand(3, 1, 32, 32, generator=generator(0))
    before, state = images.clone(), torch.get_rng_state()
    augment(images, generator(1))
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_without_any_strength_a_view_is_its_image() -> None:
    images = torch.rand(3, 1, 32, 32, generator=generator(0))
    torch.testing.assert_close(augment(images, generator(1), STILL), images, atol=2e-5, rtol=0)


@pytest.mark.parametrize("dim", [2, 3], ids=["vertically", "horizontally"])
def test_no_view_is_flipped(dim: int) -> None:
    """A ramp along one axis still rises along that axis in every view: neither flip, nor a quarter turn."""
    ramp = torch.linspace(0.2, 0.8, 32)
    image = (ramp[:, None] if dim == 2 else ramp[None, :]).expand(1, 1, 32, 32)
    seen = augment(image.repeat(256, 1, 1, 1), generator(3))
    low, high = seen.chunk(2, dim=dim)
    assert (high.mean(dim=(1, 2, 3)) > low.mean(dim=(1, 2, 3)) + 0.1).all()


def test_a_crop_keeps_at_least_the_stated_area() -> None:
    """Seen through a ramp: the span of grey left in a view is the span of the image that the crop kept."""
    limits = Augmentation(min_area=0.7, aspect=1.0, rotation=0.0, brightness=0, contrast=0, gamma=0, noise=0)
    ramp = torch.linspace(0, 1, 64).expand(256, 1, 64, 64)
    seen = augment(ramp, generator(0), limits)
    span = seen.amax(dim=(1, 2, 3)) - seen.amin(dim=(1, 2, 3))
    assert float(span.min()) > 0.7**0.5 - 0.03
    assert float(span.min()) < 0.9  # and crops do happen


def test_each_image_is_turned_on_its_own() -> None:
    limits = Augmentation(min_area=1.0, aspect=1.0, rotation=10.0, brightness=0, contrast=0, gamma=0, noise=0)
    image = torch.rand(1, 1, 32, 32, generator=generator(0)).repeat(4, 1, 1, 1)
    seen = augment(image, generator(0), limits)
    assert all(not torch.equal(seen[0], other) for other in seen[1:])


def test_noise_has_the_stated_strength() -> None:
    limits = Augmentation(
        min_area=1.0, aspect=1.0, rotation=0.0, brightness=0, contrast=0, gamma=0, noise=0.1
    )
    seen = augment(torch.full((200, 1, 32, 32), 0.5), generator(0), limits)
    deviations = seen.std(dim=(1, 2, 3))
    assert 0.045 < float(deviations.mean()) < 0.055  # uniform in [0, 0.1]
    assert float(deviations.max()) < 0.11
