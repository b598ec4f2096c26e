"""Phantoms on disk, in the CheXpert layout, every file of them marked SYNTHETIC.

::

    root/
      phantom.json           what this is, and the seed and configuration that made it
      README.txt             the same for people
      hospitals.csv          patient,split,site,origin: one row a patient
      train.csv, valid.csv   CheXpert's columns; train.csv is written last and says that all is there
      train/patient00001/study1/view1_frontal.jpg
      masks/train/patient00001/study1/view1_frontal.png   see phantom.masks

An image's mask is written before the image
and both by rename, so an image that exists is whole and an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedcxr import config, files
from fedcxr.data.chexpert import COLUMNS
from fedcxr.data.labels import BLANK, LABELS
from fedcxr.data.phantom.atlas import Atlas, atlas
from fedcxr.data.phantom.chest import Anatomy, Chest, Pose
from fedcxr.data.phantom.findings import paint, reshape
from fedcxr.data.phantom.hospital import Hospital, make_hospital
from fedcxr.data.phantom.masks import encode_mask, mask_path, pack
from fedcxr.data.phantom.patient import Patient, Split, Study, make_patient
from fedcxr.errors import DataError
from fedcxr.seeds import derive_seed

NOTICE = "SYNTHETIC: a drawn phantom, not a radiograph of any person; not for clinical use."
VERSION = 1  # of the drawing: another version draws other pixels from the same seed

_README = f"""{NOTICE}

Chest X-ray phantoms drawn by a program (fedcxr data phantom), in the layout of CheXpert. Nothing in this
folder comes from a patient. phantom.json holds the seed and the configuration; the same two give the same
bytes again.

train.csv     labels as a report would give them: 1, 0, -1 (faint), blank (not mentioned)
valid.csv     labels as drawn: 1 or 0
              Pneumonia, Pleural Other and Fracture are never drawn, and blank in both
hospitals.csv patient, split, site: each site has a scanner and a case mix of its own
masks/        16-bit greyscale PNG under the image's path: bit k is set where finding k is,
              {", ".join(f"{k} {name}" for k, name in enumerate(LABELS))}
"""


@dataclass(frozen=True)
class _View:
    """One image to draw, and where it goes."""

    path: str  # relative to root
    hospital: Hospital
    anatomy: Anatomy
    study: Study
    pose: Pose


def generate(
    root: Path, phantom: config.Phantom, seed: int, *, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write a phantom set under ``root``; do nothing where it stands already.

    Args:
        root: created if need be. Its name is the prefix of the CSVs' paths, as in CheXpert.
        phantom: hospitals, patients a hospital, image size.
        seed: with ``phantom``, decides every byte; each patient is drawn from a seed of its own.
        progress: called with (images done, images in all).

    Raises:
        DataError: ``root`` holds something else: other files, or phantoms of another seed or configuration.
    """
    root = root.resolve()
    _claim(root, phantom, seed)
    if (root / "train.csv").is_file():
        return
    views: list[_View] = []
    rows: dict[Split, list[list[str]]] = {"train": [], "valid": []}
    people: list[list[str]] = []
    for number, split, hospital, patient in _patients(phantom, seed):
        name = f"patient{number:05d}"
        people.append([name, split, hospital.name, "SYNTHETIC"])
        for view, row in _views(f"{split}/{name}", hospital, patient):
            views.append(view)
            rows[split].append([f"{root.name}/{view.path}", *row])
    shared = atlas(phantom.size, derive_seed(seed, "phantom", "atlas"))
    for done, view in enumerate(views, start=1):
        if not (root / view.path).is_file():
            _write_view(root, shared, view)
        if progress is not None:
            progress(done, len(views))
    _write(root / "README.txt", _README.encode())
    _write_csv(root / "hospitals.csv", ("patient", "split", "site", "origin"), people)
    _write_csv(root / "valid.csv", COLUMNS, rows["valid"])
    _write_csv(root / "train.csv", COLUMNS, rows["train"])


def draw(
    shared: Atlas, hospital: Hospital, anatomy: Anatomy, study: Study, pose: Pose
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """One view: the image, uint8 (S, S), and its mask, uint16 (S, S), bit k for ``LABELS[k]``."""
    chest = Chest(shared, reshape(anatomy, study.signs), pose)
    bits = pack(paint(chest, study.signs), shared.size)
    return hospital.scanner.expose(shared, chest.density(), pose), bits


def _claim(root: Path, phantom: config.Phantom, seed: int) -> None:
    """Mark ``root`` as this set's, or see that it is."""
    claim = {"notice": NOTICE, "version": VERSION, "seed": seed, "phantom": phantom.model_dump(mode="json")}
    text = json.dumps(claim, indent=2, sort_keys=True) + "\n"
    marker = root / "phantom.json"
    if marker.is_file():
        if marker.read_text(encoding="utf-8") != text:
            raise DataError(
                f"{root}: holds phantoms of another seed or configuration ({marker.name} says which). "
                "Name another folder, or delete this one.",
                advice="Nothing was changed.",
            )
        return
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"{root}: not empty, and not a phantom set. Phantoms go into a folder of their own.")
    root.mkdir(parents=True, exist_ok=True)
    _write(marker, text.encode())


def _patients(phantom: config.Phantom, seed: int) -> Iterator[tuple[int, Split, Hospital, Patient]]:
    """(patient number from 1, split, hospital, patient), hospital by hospital."""
    for h in range(phantom.hospitals):
        hospital = make_hospital(seed, h)
        rng = np.random.default_rng(derive_seed(seed, "phantom", "split", h))
        held_out = set(
            rng.permutation(phantom.patients)[: round(phantom.patients * phantom.valid_fraction)].tolist()
        )
        for k in range(phantom.patients):
            split: Split = "valid" if k in held_out else "train"
            yield h * phantom.patients + k + 1, split, hospital, make_patient(seed, hospital, k, split)


def _views(folder: str, hospital: Hospital, patient: Patient) -> Iterator[tuple[_View, list[str]]]:
    """Each view of a patient, with its CSV row after the path."""
    for s, study in enumerate(patient.studies, start=1):
        labels = ["" if label == BLANK else f"{label:.1f}" for label in study.labels]
        for k, pose in enumerate(study.views, start=1):
            path = f"{folder}/study{s}/view{k}_frontal.jpg"
            projection = "AP" if pose.anteroposterior else "PA"
            row = [patient.sex, str(study.age), "Frontal", projection, *labels]
            yield _View(path, hospital, patient.anatomy, study, pose), row


def _write_view(root: Path, shared: Atlas, view: _View) -> None:
    image, bits = draw(shared, view.hospital, view.anatomy, view.study, view.pose)
    _write(mask_path(root, view.path), encode_mask(bits, NOTICE))
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, "JPEG", quality=92, comment=NOTICE.encode())
    _write(root / view.path, packed.getvalue())


def _write_csv(path: Path, header: tuple[str, ...], rows: list[list[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    _write(path, text.getvalue().encode())


def _write(path: Path, content: bytes) -> None:
    files.write(path, content, shared=True)  # two runs may want one set at the same time
