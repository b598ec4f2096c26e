"""Overlays: each method's map lies over the image where it is warm, and nowhere else."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedcxr.data.labels import LABELS
from fedcxr.evaluation.explanation.saliency import Method
from fedcxr.evaluation.explanation.scores import Cases
from fedcxr.report.overlays import draw_overlays

SIDE = 32
EDEMA, FRACTURE = LABELS.index("Edema"), LABELS.index("Fracture")
TOP_LEFT, BOTTOM_RIGHT = (slice(0, 8), slice(0, 8)), (slice(24, 32), slice(24, 32))


def hot(*corner: slice) -> np.ndarray:
    heat = np.zeros((SIDE, SIDE), dtype=np.float32)
    heat[corner] = 1.0
    return heat


def cases(*labels: int) -> Cases:
    return Cases(np.arange(len(labels)), np.array(labels), np.arange(len(labels)))


def picture(axes: Axes) -> np.ndarray:
    """What is shown, int (S, S, 3); of a place that holds nothing there is none."""
    (shown,) = axes.get_images()
    return np.asarray(shown.get_array()).astype(int)


def warm(seen: np.ndarray, bare: np.ndarray) -> np.ndarray:
    """Where a picture differs from the image alone: bool, at the images' resolution, any pixel of each."""
    scale = len(bare) // SIDE
    differs = (seen != bare).any(axis=2)
    return differs.reshape(SIDE, scale, SIDE, scale).any(axis=(1, 3))


def assert_warm_only(corner: tuple[slice, slice], seen: np.ndarray, bare: np.ndarray) -> None:
    found, inside, near = warm(seen, bare), hot(*corner) > 0, np.zeros((SIDE, SIDE), dtype=bool)
    near[tuple(slice(max(0, part.start - 2), part.stop + 2) for part in corner)] = True  # it is smoothed
    assert found[inside].all()
    assert not found[~near].any()
    scale = len(bare) // SIDE
    core = seen[corner[0].start * scale + 48 // 2, corner[1].start * scale + 48 // 2]
    assert min(core[0], core[1]) > core[2] + 40  # the highest is yellow


def test_the_heat_is_drawn_where_each_map_has_it_and_only_there(
    tmp_path: Path, figures: list[Figure]
) -> None:
    images = np.random.default_rng(0).integers(60, 180, (3, SIDE, SIDE), dtype=np.uint8)
    maps = {
        Method.GRAD_CAM: np.stack([hot(*TOP_LEFT), hot(*BOTTOM_RIGHT), np.zeros((SIDE, SIDE), np.float32)]),
        Method.ATTENTION: np.stack([hot(*BOTTOM_RIGHT), hot(*TOP_LEFT), hot(*TOP_LEFT)]),
    }
    draw_overlays(images, cases(EDEMA, EDEMA, FRACTURE), maps, None, tmp_path / "o.png", title="t", columns=2)
    grid = np.reshape(figures[0].axes, (2, 6))  # a line a label, two cases of three pictures in it
    assert [text.get_text() for line in grid for text in line[0].texts] == ["Edema", "Fracture"]
    for image, places in zip(images, (grid[0, :3], grid[0, 3:], grid[1, :3]), strict=True):
        bare = picture(places[0])
        assert (bare == bare[:, :, :1]).all()
        small = bare[:, :, 0].reshape(SIDE, len(bare) // SIDE, SIDE, -1).mean(axis=(1, 3))
        assert np.abs(small - image).max() < 40  # it is this image, enlarged
    for place, corners in ((grid[0, :3], (TOP_LEFT, BOTTOM_RIGHT)), (grid[0, 3:], (BOTTOM_RIGHT, TOP_LEFT))):
        for axes, corner, method in zip(place[1:], corners, maps, strict=True):
            assert_warm_only(corner, picture(axes), picture(place[0]))
            assert axes.get_title(loc="right") == method.value
    cold, warm_one = grid[1, 1], grid[1, 2]
    assert (picture(cold) == picture(grid[1, 0])).all()
    assert cold.get_title(loc="right") == "grad-cam: empty"
    assert_warm_only(TOP_LEFT, picture(warm_one), picture(grid[1, 0]))
    assert not any(axes.get_images() for axes in grid[1, 3:])


def test_a_lesion_is_outlined_on_every_picture_of_its_case(tmp_path: Path, figures: list[Figure]) -> None:
    images = np.full((2, SIDE, SIDE), 100, dtype=np.uint8)
    masks = np.zeros((2, 64, 64), dtype=bool)
    masks[0, 16:32, 16:32] = True
    masks[1, 32:48, 32:48] = True
    maps = {Method.GRAD_CAM: np.stack([hot(*BOTTOM_RIGHT)] * 2)}
    draw_overlays(images, cases(EDEMA, EDEMA), maps, masks, tmp_path / "o.png", title="t", columns=2)
    for axes, first, last in zip(figures[0].axes, (16, 16, 32, 32), (32, 32, 48, 48), strict=True):
        rows, columns = np.nonzero((picture(axes) == (0, 229, 255)).all(axis=2))
        edge = 3  # pixels of a picture to one of the mask
        for place in (rows, columns):
            assert abs(place.min() - edge * first) <= edge
            assert abs(place.max() - edge * last) <= edge
    assert "outlined: the lesion" in str(figures[0].get_suptitle())


def test_no_more_than_the_columns_are_drawn(tmp_path: Path, figures: list[Figure]) -> None:
    images = np.stack([np.full((SIDE, SIDE), grey, dtype=np.uint8) for grey in (50, 100, 150)])
    maps = {Method.GRAD_CAM: np.zeros((3, SIDE, SIDE), np.float32)}
    draw_overlays(images, cases(*[EDEMA] * 3), maps, None, tmp_path / "o.png", title="t", columns=2)
    assert [picture(axes)[0, 0, 0] for axes in figures[0].axes] == [50, 50, 100, 100]


def test_the_title_is_above_the_first_label_however_many_there_are(
    tmp_path: Path, figures: list[Figure]
) -> None:
    labels = list(range(1, 11))
    images = np.zeros((10, 32, 32), np.uint8)
    maps = {Method.GRAD_CAM: np.ones((10, 32, 32), np.float32)}
    draw_overlays(images, cases(*labels), maps, None, tmp_path / "o.png", title="t", columns=1)
    (figure,) = figures
    title, first = figure.texts[0], figure.axes[0].texts[0]
    assert first.get_window_extent().y1 + 5 < title.get_window_extent().y0
    assert title.get_window_extent().y1 < figure.bbox.y1
