"""Hospitals of which one alone has a label, and the federation whose rows of it nobody moves."""

from __future__ import annotations

import csv
from pathlib import Path

from fedcxr.config import Config, Phantom
from fedcxr.data.labels import LABELS
from fedcxr.data.phantom import generate

ALONE, FRACTURE = 2, LABELS.index("Fracture")
"""The hospital that alone has a label, by its place in the partition; and the label."""

OF_THREE, THREE = LABELS.index("Pleural Other"), (0, 1, 3)
"""A label that three of the first five hospitals have; so does a sixth one."""


def rare_config(small: Config, root: Path, hospitals: int = 5) -> Config:
    """Masked hospitals at ``root``: what no report mentions is not known, and one alone has a label."""
    if not root.exists():
        generate(root, Phantom(hospitals=hospitals, patients=10, size=32), 10)
        _report(root)
    return small.with_changes(
        {
            "name": "rare",
            "data.root": str(root),
            "data.blank": "ignore",
            "federation.min_hospitals": 3,
            "privacy.envelope": "masked",
            "privacy.auditor": False,
            "privacy.kem": "X25519",
            "privacy.unmask_window": 60.0,
        }
    )


def _report(root: Path) -> None:
    """Have the reports of some hospitals say whether there is a finding that no other's mention."""
    with (root / "hospitals.csv").open(newline="") as file:
        of = {row["patient"]: row["site"] for row in csv.DictReader(file)}
    places = {site: place for place, site in enumerate(sorted(set(of.values())))}
    with (root / "train.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        rows, names = list(reader), list(reader.fieldnames or ())
    for number, row in enumerate(rows):
        place = places[of[row["Path"].split("/")[2]]]
        for label, having in ((FRACTURE, (ALONE,)), (OF_THREE, (*THREE, 5))):
            if place in having:
                row[LABELS[label]] = f"{number % 2}.0"
    with (root / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
