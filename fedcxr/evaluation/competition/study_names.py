"""The study and the patient that a name in the competition's CSV means.

The same study is written in many ways: ``CheXpert-v1.0/valid/patient64541/study1`` by the competition,
``CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg`` by the small release's images,
``patient64541/study1`` by people. What counts is patient and study; the split is kept to notice that the
studies of one split are held against those of another.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# The study's folder, what is above it, the study, the patient; then perhaps the image.
_CHEXPERT = re.compile(r"((.*/)?((patient\d+)/study\d+))(/[^/]+)?")
_SPLITS = ("train", "valid", "test")


class StudyName(NamedTuple):
    """The study that a cell of the column ``Study`` or ``Path`` names.

    Attributes:
        study: ``patient64541/study1``; the text as it stands where it is not in CheXpert's form.
        patient: ``patient64541``; elsewhere the study itself, as nothing says which studies share one.
        place: the study's folder as written, with release and split, without the image.
        split: train, valid, test or "".
        image: whether the cell names one of its images, or else the study as a whole.
    """

    study: str
    patient: str
    place: str
    split: str
    image: bool


def clean(text: str) -> str:
    """Strip a name of what does not tell it from another: spaces around it, ``./`` before, ``/`` behind."""
    return text.strip().replace("\\", "/").removeprefix("./").rstrip("/")


def parse(text: str, *, image: bool) -> StudyName:
    """Parse one name.

    Args:
        text: the cell.
        image: whether the column names images (``Path``): then the last part of a name in another form is the
            image, and what is before it the study; a name of one part is a study by itself.
    """
    cleaned = clean(text)
    if match := _CHEXPERT.fullmatch(cleaned):
        place, above, study, patient, view = match.groups()
        split = above.rstrip("/").rpartition("/")[2] if above else ""
        return StudyName(study, patient, place, split if split in _SPLITS else "", image and view is not None)
    apart = image and "/" in cleaned
    study = cleaned.rpartition("/")[0] if apart else cleaned
    return StudyName(study, study, study, "", apart)


def agree(name: StudyName, text: str) -> bool:
    """Whether a cell of ``Study`` can mean the study that its row's ``Path`` names.

    It may be written in any of its ways, or only by its end (``study1``); a blank cell says nothing.
    """
    other = parse(text, image=False)
    if name.split and other.split and name.split != other.split:
        return False
    return not other.study or f"/{name.place}".endswith(f"/{other.study}")
