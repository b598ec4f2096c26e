"""Scores of a model's saliency maps: do they point at lesions, and does the model use what they show?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
from fedcxr.evaluation.explanation.case_scores import COLUMNS
from fedcxr.evaluation.explanation.deletion import Curves, follow
from fedcxr.evaluation.explanation.localisation import (
    FEWEST_PATIENTS,
    Localisation,
    compare_localisation,
    means,
)
from fedcxr.evaluation.explanation.ranking import stand_ins
from fedcxr.evaluation.explanation.saliency import Maps, Method, saliency
from fedcxr.evaluation.scores import Estimate
from fedcxr.evaluation.validation_set import bootstrap_seed
from fedcxr.models.network import Network
from fedcxr.seeds import derive_seed


@dataclass(frozen=True, eq=False)
class Cases:
    """n findings to explain, each an image and a label that it is positive for.

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
class MeanCurves:
    """Mean curves over cases: the label's probability as more pixels are taken, in equal shares.

    Attributes:
        deletion, insertion: by the image's own map.
        deletion_elsewhere, insertion_elsewhere: by another patient's, over the cases that have one, if any.
    """

    deletion: tuple[float, ...] = ()
    insertion: tuple[float, ...] = ()
    deletion_elsewhere: tuple[float, ...] = ()
    insertion_elsewhere: tuple[float, ...] = ()


@dataclass(frozen=True)
class Faithfulness:
    """The mean deletion and insertion scores over cases, with intervals over patients.

    Attributes:
        cases: with a map that is not empty; the others are left out.
        empty: those others.
        deletion, insertion: areas under the curves.
        deletion_gain: by maps of other patients minus by the image's own, paired: above 0 the map finds what
            the model uses in this image.
        insertion_gain: by its own minus by others', paired: above 0 likewise.
        curves: those that the areas are under; empty in a file written before they were kept.
    """

    cases: int
    empty: int
    deletion: Estimate
    insertion: Estimate
    deletion_gain: Estimate
    insertion_gain: Estimate
    curves: MeanCurves = field(default=MeanCurves(), kw_only=True)


@dataclass(frozen=True)
class MethodScore:
    """The scores of one method.

    Attributes:
        faithfulness: of all cases.
        localisation: of all cases with a mask; None without masks.
        by_label: localisation label by label.
    """

    faithfulness: Faithfulness
    localisation: Localisation | None
    by_label: Mapping[str, Localisation]


@dataclass(frozen=True)
class Explanation:
    """The scores of all methods on the same cases.

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
    """Choose up to ``most`` positive images of each label, drawn from ``seed``.

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
    """Read the masks of the cases' lesions, bool (n, M, M); None where the images have no masks.

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
) -> tuple[Explanation, dict[Method, Maps], dict[Method, Floats]]:
    """Make every method's maps of n cases, and score them.

    Args:
        model: of the registry.
        images: uint8, shape (n, S, S): the cases' own.
        cases: n of them.
        masks: bool, shape (n, M, M); a case whose mask is empty counts for faithfulness only.
        config: resolved.

    Returns:
        The scores; each method's maps, float32 (n, S, S); and case by case its
        :data:`~fedcxr.evaluation.explanation.case_scores.COLUMNS`, float64 (n, 6), NaN where there is none.
    """
    resamples, seed = config.evaluation.bootstrap, bootstrap_seed(config)
    maps = saliency(model, images, cases.labels.tolist(), config)
    methods, by_case = {}, {}
    for method, own in maps.items():
        each = np.full((len(cases), len(COLUMNS)), np.nan)
        faithful, each[:, 4:] = _faithfulness(model, images, own, cases, config)
        whole: Localisation | None = None
        by_label: dict[str, Localisation] = {}
        if masks is not None and masks.any():
            whole, by_label, each[:, :4] = _localisation(own, masks, cases, resamples, seed)
        methods[method.value], by_case[method] = MethodScore(faithful, whole, by_label), each
    return Explanation(len(cases), resamples, methods), maps, by_case


def _faithfulness(
    model: Network, images: NDArray[np.uint8], maps: Maps, cases: Cases, config: Config
) -> tuple[Faithfulness, Floats]:
    """The scores, and each case's two areas, float64 (n, 2)."""
    each = np.full((len(cases), 2), np.nan)
    some = np.flatnonzero(maps.any(axis=(1, 2)))
    empty = len(cases) - len(some)
    if not len(some):
        return Faithfulness(0, empty, *[Estimate()] * 4), each
    images, maps, labels, patients = images[some], maps[some], cases.labels[some], cases.patients[some]
    own = follow(model, images, maps, labels, config)
    others = stand_ins(labels, patients, config.seed)
    unseeing = np.full(own.areas.shape, np.nan)
    told, elsewhere = np.flatnonzero(others >= 0), None
    if len(told):
        elsewhere = follow(model, images[told], maps[others[told]], labels[told], config)
        unseeing[told] = elsewhere.areas
    each[some] = own.areas
    values = np.concatenate([own.areas, (unseeing - own.areas) * (1, -1)], axis=1)
    found = means(
        values, patients, config.evaluation.bootstrap, bootstrap_seed(config), fewest=FEWEST_PATIENTS
    )
    estimates = (found.estimate([k]) for k in range(4))
    return Faithfulness(len(some), empty, *estimates, curves=_mean_curves(own, elsewhere)), each


def _mean_curves(own: Curves, elsewhere: Curves | None) -> MeanCurves:
    shown = [curve for curves in (own, elsewhere) if curves for curve in (curves.deletion, curves.insertion)]
    return MeanCurves(*(tuple(curve.mean(axis=0).tolist()) for curve in shown))


def _localisation(
    maps: Maps, masks: NDArray[np.bool_], cases: Cases, resamples: int, seed: int
) -> tuple[Localisation, dict[str, Localisation], Floats]:
    """The scores, and each case's own, float64 (n, 4)."""
    each = np.full((len(cases), 4), np.nan)
    lesions = np.flatnonzero(masks.any(axis=(1, 2)))
    wide = functional.interpolate(
        torch.from_numpy(maps[lesions])[:, None], size=masks.shape[1:], mode="bilinear", align_corners=False
    )
    whole, by_label, each[lesions] = compare_localisation(
        wide[:, 0].numpy(),
        masks[lesions],
        cases.labels[lesions],
        cases.patients[lesions],
        resamples=resamples,
        seed=seed,
    )
    return whole, {LABELS[column]: own for column, own in by_label.items()}, each
