"""Hospitals of which one alone has a label, and the federation whose rows of it nobody moves."""

from __future__ import annotations

import csv
from pathlib import Path

from fedcxr.config import Config, Phantom
from fedcxr.data.labels import LABELS
from fedcxr.data.phantom import generate

ALONE, FRACTURE = 2, LABELS.index("Fracture")
"""The hospital that alone has a label, by its place in the partition; and the label."""


def rare_config(small: Config, root: Path, **changes: object) -> Config:
    """Five masked hospitals at ``root``; a label that nobody mentions says nothing, and one has a fracture."""
    if not root.exists():
        generate(root, Phantom(hospitals=5, patients=10, size=32), 10)
        _break_a_bone(root)
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
        | changes
    )


def _break_a_bone(root: Path) -> None:
    """Have every report of one hospital say whether there is a fracture; no other's does."""
    with (root / "hospitals.csv").open(newline="") as file:
        of = {row["patient"]: row["site"] for row in csv.DictReader(file)}
    alone = sorted(set(of.values()))[ALONE]
    with (root / "train.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        rows, names = list(reader), list(reader.fieldnames or ())
    for place, row in enumerate(rows):
        if of[row["Path"].split("/")[2]] == alone:
            row["Fracture"] = f"{place % 2}.0"
    with (root / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
