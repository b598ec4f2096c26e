"""Tables for tests: small ones built row by row, and a CSV of CheXpert's size with its label statistics."""

import hashlib
from pathlib import Path

import numpy as np

from fedcxr.data.chexpert import COLUMNS, ChexpertTable
from fedcxr.data.labels import LABELS

HEADER = ",".join(COLUMNS)

# Positive, negative, uncertain rows of each label in CheXpert's train.csv (223,414 rows); the rest is blank.
STATISTICS = {
    "No Finding": (22381, 0, 0),
    "Enlarged Cardiomediastinum": (10798, 21638, 12403),
    "Cardiomegaly": (27000, 11116, 8087),
    "Lung Opacity": (105581, 6599, 5598),
    "Lung Lesion": (9186, 1270, 1488),
    "Edema": (52246, 20726, 12984),
    "Consolidation": (14783, 28097, 27742),
    "Pneumonia": (6039, 2799, 18770),
    "Atelectasis": (33376, 1328, 33739),
    "Pneumothorax": (19448, 56341, 3145),
    "Pleural Effusion": (86187, 35396, 11628),
    "Pleural Other": (3523, 316, 2653),
    "Fracture": (9040, 2512, 642),
    "Support Devices": (116001, 6137, 1079),
}
ROWS, STUDIES, PATIENTS = 223_414, 187_641, 64_540


def line(path: str, labels: str = "," * 13, *, sex="Male", age="60", view="Frontal", projection="AP") -> str:
    """One row of a CSV, in the order of HEADER."""
    return f"{path},{sex},{age},{view},{projection},{labels}"


def write_csv(
    path: Path, *lines: str, header: str = HEADER, end: str = "\n", encoding: str = "utf-8"
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(text + end for text in (header, *lines)).encode(encoding))
    return path


def make_table(images: list[tuple[str, str, str, list[int]]], name: str = "train") -> ChexpertTable:
    """A table in memory from (patient, view, projection, 14 labels); each image is a study of its own."""
    patients = np.array([patient for patient, *_ in images])
    studies = np.array([f"{patient}/study{row}" for row, patient in enumerate(patients)])
    return ChexpertTable(
        csv=Path(f"{name}.csv"),
        root=Path("root"),
        folder="",
        digest=hashlib.sha256(repr((name, images)).encode()).hexdigest(),
        lines=np.arange(2, len(images) + 2, dtype=np.int32),
        paths=np.array([f"{name}/{study}/view1.jpg" for study in studies]),
        patients=patients,
        studies=studies,
        sex=np.array(["Unknown"] * len(images)),
        age=np.zeros(len(images), dtype=np.int16),
        view=np.array([view for _, view, *_ in images]),
        projection=np.array([projection for _, _, projection, _ in images]),
        labels=np.array([labels for *_, labels in images], dtype=np.int8),
    )


def write_chexpert_sized(csv: Path, seed: int = 0) -> None:
    """A train.csv with CheXpert's rows, studies, patients, views and label counts; there are no images."""
    generator = np.random.default_rng(seed)
    extra = np.sort(generator.integers(PATIENTS, size=STUDIES - PATIENTS))
    patient_of_study = np.sort(np.concatenate([np.arange(PATIENTS), extra]))
    first = np.searchsorted(patient_of_study, patient_of_study)
    study_number = np.arange(STUDIES) - first + 1
    second_view = np.sort(generator.integers(STUDIES, size=ROWS - STUDIES))
    study_of_row = np.sort(np.concatenate([np.arange(STUDIES), second_view]))
    view_number = np.arange(ROWS) - np.searchsorted(study_of_row, study_of_row) + 1
    lateral = np.zeros(ROWS, dtype=bool)
    lateral[np.flatnonzero(view_number > 1)[:32_387]] = True  # CheXpert's count of laterals
    bedside = generator.random(ROWS) < 161_590 / 191_027  # AP among its frontals
    columns = []
    for label in LABELS:
        positive, negative, uncertain = STATISTICS[label]
        values = np.full(ROWS, "", dtype="<U4")
        values[:positive] = "1.0"
        values[positive : positive + negative] = "0.0"
        values[positive + negative : positive + negative + uncertain] = "-1.0"
        columns.append(generator.permutation(values).tolist())
    with csv.open("w", encoding="utf-8") as file:
        file.write(HEADER + "\n")
        for row, labels in enumerate(zip(*columns, strict=True)):
            study = study_of_row[row]
            view = "lateral" if lateral[row] else "frontal"
            path = (
                f"CheXpert-v1.0-small/train/patient{patient_of_study[study] + 1:05d}/"
                f"study{study_number[study]}/view{view_number[row]}_{view}.jpg"
            )
            projection = "" if lateral[row] else ("AP" if bedside[row] else "PA")
            text = line(path, ",".join(labels), view=view.title(), projection=projection, sex="Female")
            file.write(text + "\n")
