"""A synthetic patient: who it is, its studies with their findings, and the views of each study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedcxr.data.labels import BLANK, LABELS
from fedcxr.data.phantom.atlas import TREES
from fedcxr.data.phantom.chest import LEFT, RIGHT, Anatomy, Pose
from fedcxr.data.phantom.findings import FAINT, OPACITIES, PAINTERS, Sign
from fedcxr.data.phantom.hospital import Hospital
from fedcxr.seeds import derive_seed

Split = Literal["train", "valid"]

HEDGED = 0.6  # share of faint signs that a train report calls uncertain
SILENT = 0.35  # share of absent findings that a train report does not mention
PERSISTS = 0.7  # chance that a finding of one study is still there in the next
_BOTH_SIDES = {
    "Edema": 1.0,
    "Pleural Effusion": 0.3,
    "Consolidation": 0.2,
    "Atelectasis": 0.2,
}  # chance; any other finding has one side


@dataclass(frozen=True)
class Study:
    """One visit: what is there, what the report says of it, and the views taken."""

    signs: tuple[Sign, ...]
    labels: tuple[int, ...]  # 14, CheXpert's order: 1, 0, -1, BLANK
    views: tuple[Pose, ...]
    age: int


@dataclass(frozen=True)
class Patient:
    """One patient; everything follows from ``derive_seed(seed, "phantom", hospital, patient)``."""

    anatomy: Anatomy
    sex: Literal["Female", "Male"]
    studies: tuple[Study, ...]


def make_patient(seed: int, hospital: Hospital, index: int, split: Split) -> Patient:
    """Patient ``index`` (from 0) of a hospital, without drawing anything.

    A train patient's labels are those of a report: faint findings may be uncertain (-1), absent ones not
    mentioned (blank). A valid patient's are what was drawn, 1 or 0, as CheXpert's valid set was read by
    radiologists. Labels that no phantom shows are blank in both.
    """
    own = derive_seed(seed, "phantom", hospital.name, index)
    rng = np.random.default_rng(own)
    female = bool(rng.random() < 0.45)
    anatomy = Anatomy(
        half_width=rng.uniform(0.73, 0.84),
        apex=rng.uniform(-0.84, -0.74),
        base=rng.uniform(0.54, 0.70),
        domes=(rng.uniform(0.22, 0.36), rng.uniform(0.18, 0.32)),
        cardiothoracic=rng.uniform(0.38, 0.475),
        mediastinum=rng.uniform(0.10, 0.15),
        heart_shift=rng.normal(0, 0.012),
        fat=abs(rng.normal(0, 0.08)),
        bone=rng.uniform(0.7, 1.25),
        rib_spacing=rng.uniform(0.128, 0.152),
        marking=rng.uniform(0.11, 0.23),
        female=female,
        stomach_bubble=bool(rng.random() < 0.4),
        trees=(int(rng.integers(TREES)), int(rng.integers(TREES))),
        warp_seed=derive_seed(own, "warp"),
    )
    age = int(np.clip(rng.normal(hospital.age, 15), 18, 90))
    healthy = rng.random() < hospital.healthy
    studies: list[Study] = []
    signs: tuple[Sign, ...] = ()
    for number in range(int(rng.choice((1, 2, 3), p=(0.55, 0.30, 0.15)))):
        signs = () if healthy else _progress(rng, hospital, signs, derive_seed(own, "signs", number))
        count = int(rng.choice((1, 2, 3), p=(0.70, 0.25, 0.05)))
        views = tuple(_pose(rng, hospital, derive_seed(own, "view", number, k)) for k in range(count))
        studies.append(Study(signs, _labels(rng, signs, split), views, min(90, age + number)))
    return Patient(anatomy, "Female" if female else "Male", tuple(studies))


def _progress(
    rng: np.random.Generator, hospital: Hospital, before: tuple[Sign, ...], seed: int
) -> tuple[Sign, ...]:
    """The next study's signs: some stay with another severity, some go, some come."""
    earlier = {sign.finding: sign for sign in before}
    signs = []
    for finding in PAINTERS:
        chance, fresh, severity = rng.random(), rng.random(), float(rng.beta(1.2, 1.6))
        both, left = rng.random() < _BOTH_SIDES.get(finding, 0.0), rng.random() < 0.5
        if finding in earlier and chance < PERSISTS:
            old = earlier[finding]
            changed = float(np.clip(0.6 * old.severity + 0.4 * severity, 0.03, 1.0))
            signs.append(Sign(finding, changed, old.sides, old.seed))
        elif fresh < hospital.prevalence[finding]:
            sides = (RIGHT, LEFT) if both else (LEFT,) if left else (RIGHT,)
            signs.append(Sign(finding, max(0.03, severity), sides, derive_seed(seed, finding)))
    return tuple(signs)


def _pose(rng: np.random.Generator, hospital: Hospital, seed: int) -> Pose:
    portable = bool(rng.random() < hospital.anteroposterior)
    spread = 1.7 if portable else 1.0  # a patient in bed is not aligned with the detector
    return Pose(
        anteroposterior=portable,
        rotation=float(np.clip(rng.normal(0, 0.022 * spread), -0.1, 0.1)),
        shift=(
            float(np.clip(rng.normal(0, 0.025 * spread), -0.12, 0.12)),
            float(np.clip(rng.normal(-0.03, 0.03 * spread), -0.12, 0.12)),
        ),
        zoom=rng.uniform(0.86, 1.04),
        seed=seed,
    )


def _labels(rng: np.random.Generator, signs: tuple[Sign, ...], split: Split) -> tuple[int, ...]:
    """What the CSV says of a study; one draw a label whatever the split, so that signs stay the same."""
    severity = {sign.finding: sign.severity for sign in signs}
    hedge, silence = rng.random(len(LABELS)), rng.random(len(LABELS))
    report = split == "train"
    said: dict[str, int] = {}
    for k, label in enumerate(LABELS):
        if label in severity:
            faint = severity[label] < FAINT and hedge[k] < HEDGED
            said[label] = -1 if report and faint else 1
        elif label in PAINTERS or label in ("No Finding", "Lung Opacity"):
            said[label] = BLANK if report and silence[k] < SILENT else 0
        else:
            said[label] = BLANK
    opacities = [said[name] for name in OPACITIES if name in severity]
    if opacities:
        said["Lung Opacity"] = max(opacities)  # 1 if any is sure, else -1
    if not severity.keys() - {"Support Devices"}:
        said["No Finding"] = 1  # CheXpert's rule: devices are no finding
    return tuple(said[label] for label in LABELS)
