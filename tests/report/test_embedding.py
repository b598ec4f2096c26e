"""The embedding as a map: the same points twice, once coloured by finding and once by hospital."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

from fedcxr.data.labels import COMPETITION_LABELS, LABELS
from fedcxr.report.embedding import MOST, choose, draw_embedding
from fedcxr.report.pictures import hospital_colours, label_style

Colour = tuple[float, ...]


def groups(axes: Axes, count: int) -> tuple[list[str], list[Colour]]:
    """The name and the colour of each image's point; points are told by their place, 0 to n - 1."""
    names, colours = [""] * count, [()] * count
    for drawn in axes.collections:
        name, _, size = str(drawn.get_label()).rpartition(" (")
        places = np.asarray(drawn.get_offsets())
        assert size == f"{len(places)})"
        for image in places[:, 0].round().astype(int):
            assert not names[image]  # once
            names[image], colours[image] = name, tuple(drawn.get_facecolor()[0][:3])
    return names, colours


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image's point stands at its number."""

    def fit(_: TSNE, features: np.ndarray) -> np.ndarray:
        return np.stack([np.arange(len(features)), np.zeros(len(features))], axis=1).astype(np.float32)

    monkeypatch.setattr(TSNE, "fit_transform", fit)


@pytest.mark.usefixtures("placed")
def test_points_are_coloured_by_finding_in_one_panel_and_by_hospital_in_the_other(
    tmp_path: Path, figures: list[Figure]
) -> None:
    kinds: dict[str, dict[str, int]] = {
        "Edema": {"Edema": 1, "Lung Opacity": 1},
        "Cardiomegaly": {"Cardiomegaly": 1, "Edema": 0},
        "several of the five": {"Edema": 1, "Cardiomegaly": 1},
        "No Finding": {"No Finding": 1},
        "other or unknown": {"Fracture": 1, "Edema": -1},
    }
    findings = [list(kinds)[k % 5] for k in range(20)]
    labels = np.zeros((20, len(LABELS)), dtype=np.int8)
    for row, finding in zip(labels, findings, strict=True):
        for label, value in kinds[finding].items():
            row[LABELS.index(label)] = value
    owners = ["north" if k % 3 else "south" for k in range(20)]
    hospitals = {
        name: np.array([k for k, owner in enumerate(owners) if owner == name]) for name in ("north", "south")
    }
    features = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    draw_embedding(features, labels, hospitals, tmp_path / "map.png", title="t", seed=0)
    by_finding, by_hospital = figures[0].axes
    assert by_finding.get_title(loc="left") == "t-SNE, by finding"
    names, colours = groups(by_finding, 20)
    assert names == findings
    assert len({*zip(names, colours, strict=True)}) == len(set(colours)) == 5
    assert by_hospital.get_title(loc="left") == "t-SNE, by hospital"
    names, colours = groups(by_hospital, 20)
    assert names == owners
    assert colours == [to_rgba(hospital_colours(hospitals)[name])[:3] for name in owners]
    for axes in (by_finding, by_hospital):
        legend = axes.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == [c.get_label() for c in axes.collections]


@pytest.mark.usefixtures("placed")
def test_the_largest_hospitals_have_a_name_and_the_rest_are_together(
    tmp_path: Path, figures: list[Figure]
) -> None:
    sizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    ends = np.cumsum(sizes)
    hospitals = {f"h{size}": np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)}
    count = int(ends[-1])
    labels = np.zeros((count, len(LABELS)), dtype=np.int8)
    draw_embedding(
        np.zeros((count, 2), np.float32), labels, hospitals, tmp_path / "map.png", title="t", seed=0
    )
    names, _ = groups(figures[0].axes[1], count)
    assert names == [f"h{size}" if size > 2 else "others" for size in sizes for _ in range(size)]
    listed = [str(drawn.get_label()).rpartition(" (")[0] for drawn in figures[0].axes[1].collections]
    assert listed == [*sorted(f"h{size}" for size in sizes if size > 2), "others"]


def test_no_hospital_has_the_colour_of_a_task() -> None:
    owned = {colour[:3] for colour in hospital_colours(f"h{k}" for k in range(8)).values()}
    assert len(owned) == 8
    assert not owned & {to_rgba(label_style(label).colour)[:3] for label in COMPETITION_LABELS}


def test_the_map_keeps_neighbours(tmp_path: Path, figures: list[Figure]) -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(40, 8)).astype(np.float32)
    features[:15] += 8  # of one hospital
    labels = np.zeros((40, len(LABELS)), dtype=np.int8)
    hospitals = {"north": np.arange(15), "south": np.arange(15, 40)}
    draw_embedding(features, labels, hospitals, tmp_path / "map.png", title="t", seed=0)
    one, other = (np.asarray(drawn.get_offsets()) for drawn in figures[0].axes[1].collections)
    apart = np.linalg.norm(one[:, None] - other[None], axis=2).min()
    nearest = [
        np.sort(np.linalg.norm(own[:, None] - own[None], axis=2), axis=1)[:, 1] for own in (one, other)
    ]
    assert apart > np.concatenate(nearest).max()


def test_the_map_is_the_same_for_the_same_features(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    labels = np.zeros((30, len(LABELS)), dtype=np.int8)
    hospitals = {f"h{k}": np.arange(2 * k, 2 * k + 2) for k in range(15)}
    for name in ("a.png", "b.png"):
        draw_embedding(features, labels, hospitals, tmp_path / name, title="t", seed=4)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert len(choose(MOST + 1, 0)) == MOST
    assert (choose(5, 0) == np.arange(5)).all()
