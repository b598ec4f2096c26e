"""A model's explanations, scored: do maps point at lesions, and do they name what the model uses?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch.nn import functional

from fedcxr.config import Config
from fedcxr.data.chexpert import ChexpertTable
from fedcxr.data.labels import LABELS
from fedcxr.data.phantom import mask_path, read_mask
from fedcxr.errors import DataError
from fedcxr.evaluation.auroc import Floats
from fedcxr.evaluation.bootstrap import Resampled
from fedcxr.evaluation.deletion import follow, random_maps
from fedcxr.evaluation.localisation import Localisation, localise, summarise
from fedcxr.evaluation.saliency import Maps, Method, saliency
from fedcxr.evaluation.scores import Estimate
from fedcxr.evaluation.validation_set import bootstrap_seed
from fedcxr.models.network import Network
from fedcxr.seeds import derive_seed


@dataclass(frozen=True, eq=False)
class Cases:
    """n findings to explain: an image and a label that it is positive for.

    Attributes:
        rows: int64 (n,), of the table.
        labels: int64 (n,), columns.
        patients: int64 (n,).
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    patients: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Faithfulness:
    """Deletion and insertion, means over cases, with intervals over patients.

    Attributes:
        deletion, insertion: areas under the curves.
        deletion_gain: random order minus the map, paired: above 0 the map finds what the model uses.
        insertion_gain: the map minus random order, paired: above 0 likewise.
    """

    deletion: Estimate
    insertion: Estimate
    deletion_gain: Estimate
    insertion_gain: Estimate


@dataclass(frozen=True)
class MethodScore:
    """One method.

    Attributes:
        faithfulness: of all cases.
        localisation: of all cases with a mask; None without masks.
        by_label: the same label by label.
    """

    faithfulness: Faithfulness
    localisation: Localisation | None
    by_label: Mapping[str, Localisation]


@dataclass(frozen=True)
class Explanation:
    """All methods on the same cases.

    Attributes:
        cases: findings explained.
        bootstrap: resamples of patients.
        methods: by name.
    """

    cases: int
    bootstrap: int
    methods: Mapping[str, MethodScore]

    def to_json(self) -> str:
        """JSON, indented; what is undefined is null."""
        return TypeAdapter(Explanation).dump_json(self, indent=1).decode()


def choose_cases(table: ChexpertTable, labels: Sequence[str], most: int, seed: int) -> Cases:
    """Up to ``most`` positive images of each label, drawn from ``seed``.

    Raises:
        DataError: no image is positive for any of them.
    """
    rows, columns = [], []
    for label in labels:
        column = LABELS.index(label)
        positive = np.flatnonzero(table.labels[:, column] == 1)
        generator = np.random.default_rng(derive_seed(seed, "explain", label))
        chosen = np.sort(generator.permutation(positive)[:most])
        rows.append(chosen)
        columns.append(np.full(len(chosen), column))
    found = np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)
    if not len(found):
        raise DataError(f"{table.csv}: no image is positive for {', '.join(labels) or 'no label'}.")
    return Cases(found, np.concatenate(columns), table.patient_codes[found])


def read_masks(table: ChexpertTable, cases: Cases) -> NDArray[np.bool_] | None:
    """The masks of the cases' lesions, bool (n, M, M); None where the images have no masks.

    Raises:
        ImageError: a mask cannot be read.
    """
    if not mask_path(table.root, str(table.paths[cases.rows[0]])).is_file():
        return None
    pairs = zip(cases.rows.tolist(), cases.labels.tolist(), strict=True)
    return np.stack([read_mask(table.root, str(table.paths[row]))[column] for row, column in pairs])


def explain(
    model: Network,
    images: NDArray[np.uint8],
    cases: Cases,
    masks: NDArray[np.bool_] | None,
    config: Config,
) -> tuple[Explanation, dict[Method, Maps]]:
    """Make every method's maps of n cases, and score them.

    Args:
        model: of the registry.
        images: uint8, shape (n, S, S): the cases' own.
        cases: n of them.
        masks: bool, shape (n, M, M); a case whose mask is empty counts for faithfulness only.
        config: resolved.

    Returns:
        The scores; each method's maps, float32 (n, S, S).
    """
    resamples, seed = config.evaluation.bootstrap, bootstrap_seed(config)
    maps = saliency(model, images, cases.labels.tolist(), config)
    unknowing = follow(model, images, random_maps(images, config.seed), cases.labels, config).areas
    methods = {}
    for method, own in maps.items():
        areas = follow(model, images, own, cases.labels, config).areas
        faithful = _faithfulness(areas, unknowing, cases.patients, resamples, seed)
        whole: Localisation | None = None
        by_label: dict[str, Localisation] = {}
        if masks is not None and masks.any():
            whole, by_label = _localisation(own, masks, cases, resamples, seed)
        methods[method.value] = MethodScore(faithful, whole, by_label)
    return Explanation(len(cases), resamples, methods), maps


def _faithfulness(
    areas: Floats, unknowing: Floats, patients: NDArray[np.int64], resamples: int, seed: int
) -> Faithfulness:
    gains = (unknowing - areas) * (1, -1)
    values = np.concatenate([areas, gains], axis=1)

    def measure(weights: NDArray[np.int32]) -> Floats:
        means: Floats = (weights.T.astype(np.float64) @ values) / weights.sum(axis=0)[:, None]
        return means

    found = Resampled.measure(patients, measure, resamples, seed)
    return Faithfulness(*(found.estimate([k]) for k in range(4)))


def _localisation(
    maps: Maps, masks: NDArray[np.bool_], cases: Cases, resamples: int, seed: int
) -> tuple[Localisation, dict[str, Localisation]]:
    lesions = np.flatnonzero(masks.any(axis=(1, 2)))
    wide = functional.interpolate(
        torch.from_numpy(maps[lesions])[:, None], size=masks.shape[1:], mode="bilinear", align_corners=False
    )
    figures = localise(wide[:, 0].numpy(), masks[lesions])
    patients, columns = cases.patients[lesions], cases.labels[lesions]
    whole = summarise(figures, patients, resamples=resamples, seed=seed)
    by_label = {
        LABELS[column]: summarise(
            figures[columns == column], patients[columns == column], resamples=resamples, seed=seed
        )
        for column in np.unique(columns).tolist()
    }
    return whole, by_label
