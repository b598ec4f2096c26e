"""A synthetic hospital: its scanner, its patients' ages, and which findings it sees how often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedcxr.data.phantom.findings import PAINTERS
from fedcxr.data.phantom.scanner import Scanner
from fedcxr.seeds import derive_seed

PREVALENCE = {
    "Cardiomegaly": 0.20,
    "Enlarged Cardiomediastinum": 0.10,
    "Edema": 0.20,
    "Consolidation": 0.17,
    "Atelectasis": 0.20,
    "Lung Lesion": 0.12,
    "Pneumothorax": 0.15,
    "Pleural Effusion": 0.25,
    "Support Devices": 0.30,
}
"""Share of the studies of sick patients with the finding, over all hospitals; about CheXpert's mix with the
rarer findings raised, so that a few hundred patients hold some of each."""

SKEW = 1.5  # concentration of the Dirichlet over findings: smaller sets hospitals further apart


@dataclass(frozen=True)
class Hospital:
    """One hospital of a phantom set."""

    name: str
    scanner: Scanner
    prevalence: dict[str, float]
    healthy: float  # share of patients without any finding
    anteroposterior: float  # share of views taken AP
    age: float  # mean, years


def make_hospital(seed: int, index: int) -> Hospital:
    """Hospital number ``index`` (from 0), from ``derive_seed(seed, "phantom", "hospital", index)``."""
    rng = np.random.default_rng(derive_seed(seed, "phantom", "hospital", index))
    share = rng.dirichlet(np.full(len(PAINTERS), SKEW)) * len(PAINTERS)
    mix = {
        name: float(np.clip(PREVALENCE[name] * (0.3 + 0.7 * k), 0.04, 0.55))
        for name, k in zip(PAINTERS, share, strict=True)
    }
    return Hospital(
        name=f"synthetic-{index + 1:02d}",
        scanner=Scanner.draw(rng),
        prevalence=mix,
        healthy=rng.uniform(0.15, 0.35),
        anteroposterior=rng.uniform(0.15, 0.75),
        age=rng.uniform(45, 68),
    )
