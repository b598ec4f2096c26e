"""Predictions and truth as people's programs write them: what is read, and what is refused and how."""

from pathlib import Path

import pytest

from fedcxr.data.labels import BLANK, LABELS
from fedcxr.errors import TableError
from fedcxr.evaluation.competition.pairing import fewer_views, pair
from fedcxr.evaluation.competition.sheets import Sheet, read_scores, read_truth

EDEMA = LABELS.index("Edema")


def scores(folder: Path, text: str) -> Sheet:
    (folder / "P.csv").write_text(text)
    return read_scores(folder / "P.csv")


def truth(folder: Path, text: str) -> Sheet:
    (folder / "T.csv").write_text(text)
    return read_truth(folder / "T.csv")


@pytest.mark.parametrize("header", ["Study,study", "study,Study", "Study,Study", "Path,PATH"])
def test_a_row_is_named_by_one_column_of_a_kind(tmp_path: Path, header: str) -> None:
    with pytest.raises(TableError, match=r"P\.csv, row 1, column '\w+': the column stands twice"):
        scores(tmp_path, f"{header},Edema\npatient1/study1,patient2/study1,0.5\n")


@pytest.mark.parametrize(
    "study",
    [
        "CheXpert-v1.0/valid/patient1/study1",
        "CheXpert-v1.0-small/valid/patient1/study1/",
        "patient1/study1/view1_frontal.jpg",
        "valid/patient1/study1",
        "patient1/study1",
        "study1",
        "",
    ],
)
def test_a_study_beside_its_path_may_be_written_in_any_way(tmp_path: Path, study: str) -> None:
    path = "CheXpert-v1.0/valid/patient1/study1/view1_frontal.jpg"
    assert scores(tmp_path, f"Study,Path,Edema\n{study},{path},0.5\n").studies == ("patient1/study1",)


@pytest.mark.parametrize("study", ["valid/patient4/study1", "train/patient1/study1", "study2", "tudy1"])
def test_a_study_that_contradicts_its_path_is_refused(tmp_path: Path, study: str) -> None:
    path = "CheXpert-v1.0/valid/patient1/study1/view1_frontal.jpg"
    said = rf"row 2, column 'Study': '{study}' is not the study of '{path}' in column 'Path'"
    with pytest.raises(TableError, match=said):
        scores(tmp_path, f"Path,Study,Edema\n{path},{study},0.5\n")


def test_truth_is_a_label_to_its_last_digit(tmp_path: Path) -> None:
    found = truth(tmp_path, "Study,Edema\na,1.000\nb,-0.0\nc,-1.0\nd, \ne,+1\n")
    assert found.values[:, EDEMA].tolist() == [1, 0, -1, BLANK, 1]
    for text in ("0.9999999", "1e-7", "-0.99999999", "nan", "inf"):
        with pytest.raises(TableError, match=f"'{text}' is not a label"):
            truth(tmp_path, f"Study,Edema\na,{text}\n")


def test_a_row_that_names_a_study_as_a_whole_is_no_view(tmp_path: Path) -> None:
    told = truth(tmp_path, "Path,Edema\npatient1/study1/view1.jpg,1\npatient1/study1/view2.jpg,1\n")
    assert told.views.tolist() == [2]
    for naming, views in (
        ("Path,Edema\npatient1/study1,0.5\n", 0),
        ("Study,Edema\npatient1/study1,0.5\n", 0),
        ("Path,Edema\npatient1/study1,0.5\npatient1/study1/view1.jpg,0.4\n", 0),
        ("Path,Edema\npatient1/study1/view1.jpg,0.5\n", 1),
    ):
        found = scores(tmp_path, naming)
        assert found.views.tolist() == [views]
        assert fewer_views(found, told) == (("patient1/study1",) if views else ())
        assert pair(found, told, ["Edema"]).images == 1


@pytest.mark.parametrize("header", ["Study", "Path", "Path,Study"])
def test_an_endless_name_is_refused_where_it_stands(tmp_path: Path, header: str) -> None:
    names = ",".join(["a" * 5000] * (header.count(",") + 1))
    with pytest.raises(TableError, match=r"row 3, column '(Study|Path)': 5,000 characters") as refused:
        scores(tmp_path, f"{header},Edema\n{'a,' * (header.count(',') + 1)}0.5\n{names},0.5\n")
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("start", ["\n", ",,\n", " \r\n"])
def test_a_blank_first_row_is_told_from_an_empty_file(tmp_path: Path, start: str) -> None:
    with pytest.raises(TableError, match=r"P\.csv, row 1: blank; the columns' names stand there"):
        scores(tmp_path, f"{start}Study,Edema\na,0.5\n")


def test_a_column_without_a_name_is_called_by_its_place(tmp_path: Path) -> None:
    assert scores(tmp_path, ",Study,Edema\n0,a,0.5\n").ignored == ("column 1 (without a name)",)


def test_names_of_another_form_than_the_truths_are_shown_beside_them(tmp_path: Path) -> None:
    told = truth(tmp_path, "Study,Edema\npatient1/study1,1\npatient2/study1,0\n")
    with pytest.raises(TableError, match=r"such as patient1.*; its own are such as p1_s1\."):
        pair(scores(tmp_path, "Study,Edema\np1_s1,0.1\np2_s1,0.2\n"), told, ["Edema"])
    with pytest.raises(TableError, match=r"patient2/study1 \(row 3 there\)\."):
        pair(scores(tmp_path, "Study,Edema\npatient1/study1,0.1\n"), told, ["Edema"])
