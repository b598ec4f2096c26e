"""The competition's CSV: its columns, its study names, and the maximum over views."""

from pathlib import Path

import numpy as np
import pytest
from chexpert_tables import line, write_csv

from fedcxr.data.chexpert import ChexpertTable, read_table
from fedcxr.data.labels import LABELS
from fedcxr.errors import DataError, StoreError
from fedcxr.evaluation.competition.predictions import StudyPredictions

PATHS = (
    "valid/patient64542/study1/view1_frontal.jpg",
    "valid/patient64541/study1/view1_frontal.jpg",
    "valid/patient64542/study1/view2_lateral.jpg",
)


def table(tmp_path: Path, folder: str) -> ChexpertTable:
    return read_table(write_csv(tmp_path / "valid.csv", *(line(folder + path) for path in PATHS)), tmp_path)


@pytest.fixture
def probabilities() -> np.ndarray:
    values = np.linspace(0.01, 0.42, 42, dtype=np.float32).reshape(3, 14)
    values[2] = values[2, ::-1]
    return values


def test_writes_the_competitions_columns_and_study_names(tmp_path: Path, probabilities: np.ndarray) -> None:
    out = tmp_path / "P.csv"
    StudyPredictions.of(table(tmp_path, "CheXpert-v1.0/"), probabilities).write(out)
    header, *rows = out.read_text().splitlines()
    assert header == "Study,Atelectasis,Cardiomegaly,Consolidation,Edema,Pleural Effusion"
    cells = [row.split(",") for row in rows]
    assert [row[0] for row in cells] == [
        "CheXpert-v1.0/valid/patient64542/study1",  # in the order of the CSV
        "CheXpert-v1.0/valid/patient64541/study1",
    ]
    highest = np.maximum(probabilities[0], probabilities[2])
    columns = [LABELS.index(name) for name in header.split(",")[1:]]
    assert (np.array(cells[0][1:], dtype=np.float32) == highest[columns]).all()
    assert (np.array(cells[1][1:], dtype=np.float32) == probabilities[1, columns]).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["P.csv", "valid.csv"]


def test_a_path_without_the_folder_keeps_its_form(tmp_path: Path, probabilities: np.ndarray) -> None:
    (tmp_path / "valid").mkdir()
    found = StudyPredictions.of(table(tmp_path, ""), probabilities)
    assert found.studies == ("valid/patient64542/study1", "valid/patient64541/study1")


def test_all_labels_on_demand_and_tiny_probabilities_in_plain_digits(
    tmp_path: Path, probabilities: np.ndarray
) -> None:
    probabilities[1] = 1e-7
    out = tmp_path / "P.csv"
    StudyPredictions.of(table(tmp_path, ""), probabilities).write(out, LABELS)
    lines = out.read_text().splitlines()
    assert lines[0] == ",".join(["Study", *LABELS])
    assert lines[2].split(",")[1] == "0.0000001"


def test_what_cannot_be_written_is_named(tmp_path: Path, probabilities: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"3 images, but probabilities of shape \(2, 14\)"):
        StudyPredictions.of(table(tmp_path, ""), probabilities[1:])
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/P\.csv: cannot be written"):
        StudyPredictions.of(table(tmp_path, ""), probabilities).write(tmp_path / "file" / "P.csv")
