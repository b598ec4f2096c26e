"""The picture of the embedding: whether findings lie apart in it, or only hospitals do.

t-SNE (van der Maaten and Hinton, JMLR 9, 2008) by scikit-learn, started from the principal components so that
the same features give the same map. A map shows neighbours: distances between its clusters, and their sizes,
mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import COMPETITION_LABELS, LABELS
from fedcxr.report.pictures import drawn_name, hospital_colours, label_style, write_picture
from fedcxr.seeds import derive_seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 1500  # images on a map; more take minutes, and hide each other
FEWEST = 10  # below which there is no neighbourhood to draw

_MANY = 8  # hospitals with a colour of their own
_PLAIN = {"No Finding": "#b5b5b5", "other or unknown": "#dddddd", "others": "#dddddd"}
_FINDINGS = {label: label_style(label).colour for label in COMPETITION_LABELS} | {
    "several of the five": "#8c564b"
}


def choose(images: int, seed: int) -> NDArray[np.int64]:
    """Choose the images to show, int64, rising: all of them, or :data:`MOST` drawn from ``seed``."""
    rows = np.arange(images, dtype=np.int64)
    if images <= MOST:
        return rows
    return np.sort(np.random.default_rng(derive_seed(seed, "map")).permutation(rows)[:MOST])


def draw_embedding(
    features: NDArray[np.float32],
    labels: NDArray[np.int8],
    hospitals: Mapping[str, NDArray[np.int64]],
    path: Path,
    *,
    title: str,
    seed: int,
) -> None:
    """Draw the t-SNE map of n images twice: coloured by finding, and coloured by hospital.

    Args:
        features: float32, shape (n, F), n at least :data:`FEWEST`.
        labels: int8, shape (n, 14), raw codes.
        hospitals: each one's rows into the n.
        path: to write; its suffix says the format.
        title: one line; says what the images are.
        seed: of the maps.
    """
    from matplotlib.figure import Figure

    places = _places(features, seed)
    figure = Figure(figsize=(13, 6.0), layout="constrained")
    by_label, by_hospital = figure.subplots(1, 2)
    _scatter(by_label, places, _findings(labels), _FINDINGS, "t-SNE, by finding")
    owners = _owners(len(labels), hospitals)
    _scatter(by_hospital, places, owners, hospital_colours(hospitals), "t-SNE, by hospital")
    figure.suptitle(f"{title}; the embedding of {len(labels):,} images", fontsize=13, x=0.01, ha="left")
    write_picture(figure, path)


def _places(features: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The coordinates of n images on the map, float32 (n, 2)."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    spread = features - features.mean(axis=0)
    spread /= np.maximum(spread.std(axis=0), 1e-6)  # a feature's unit is arbitrary
    perplexity = min(30.0, (len(features) - 1) / 3)
    tsne: Any = TSNE(perplexity=perplexity, init="pca", random_state=derive_seed(seed, "embedding") % 2**32)
    with threadpool_limits(
        1
    ):  # threads split sums, so they decide bits; and on a busy machine they only wait
        places: NDArray[np.float32] = tsne.fit_transform(spread)
    return places


def _findings(labels: NDArray[np.int8]) -> dict[str, NDArray[np.bool_]]:
    """Which images, bool (n,), are in each group: none found, one task alone, several tasks, all else."""
    five = labels[:, [LABELS.index(label) for label in COMPETITION_LABELS]] == 1
    count = five.sum(axis=1)
    normal = labels[:, LABELS.index("No Finding")] == 1
    groups = {"No Finding": normal & (count == 0)}
    groups["other or unknown"] = ~normal & (count == 0)
    groups |= {label: five[:, k] & (count == 1) for k, label in enumerate(COMPETITION_LABELS)}
    groups["several of the five"] = count > 1
    return groups


def _owners(images: int, hospitals: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.bool_]]:
    """Which images, bool (n,), each of the largest hospitals has, by name, and which all others together."""
    groups = {}
    rest = np.ones(images, dtype=np.bool_)
    for name in sorted(sorted(hospitals, key=lambda name: -len(hospitals[name]))[:_MANY]):
        groups[name] = np.zeros(images, dtype=np.bool_)
        groups[name][hospitals[name]] = True
        rest &= ~groups[name]
    return groups | ({"others": rest} if rest.any() else {})


def _scatter(
    axes: Axes,
    places: NDArray[np.float32],
    groups: Mapping[str, NDArray[np.bool_]],
    colours: Mapping[str, str | tuple[float, ...]],
    title: str,
) -> None:
    area = float(np.clip(4000 / len(places), 7, 30))  # square points
    for name, chosen in groups.items():
        if not chosen.any():
            continue
        plain = name in _PLAIN
        colour = _PLAIN[name] if plain else colours[name]
        axes.scatter(
            places[chosen, 0],
            places[chosen, 1],
            s=area if plain else 1.4 * area,
            color=colour,
            linewidths=0,
            alpha=0.85,
            zorder=1 if plain else 2,
            label=f"{drawn_name(name)} ({int(chosen.sum()):,})",
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=11, loc="left")
    axes.spines[:].set_color("#cccccc")
    axes.legend(
        frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.01), ncols=3, markerscale=1.8
    )
