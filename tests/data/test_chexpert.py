from pathlib import Path

import numpy as np
import pytest
from chexpert_tables import HEADER, line, write_csv

from fedcxr.data.chexpert import AGE_UNKNOWN, COLUMNS, read_paths, read_table
from fedcxr.data.labels import BLANK, LABELS
from fedcxr.errors import TableError

FIRST = "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg"
SECOND = "CheXpert-v1.0-small/train/patient00002/study1/view1_lateral.jpg"
BLANKS = ",".join([""] * 14)


def test_rows_are_read_in_order_with_patient_study_and_labels(tmp_path: Path) -> None:
    labels = "1.0,0.0,-1.0,,1,0,-1,,,,,,,1.0"
    third = FIRST.replace("view1", "view2")
    csv = write_csv(
        tmp_path / "train.csv",
        line(SECOND, labels, sex="Female", age="68", view="Lateral", projection=""),
        line(FIRST),
        line(third),
    )
    table = read_table(csv, tmp_path)
    assert len(table) == 3
    assert table.paths[0].endswith("train/patient00002/study1/view1_lateral.jpg")
    assert table.patients.tolist() == ["patient00002", "patient00001", "patient00001"]
    assert table.studies.tolist() == ["patient00002/study1", "patient00001/study1", "patient00001/study1"]
    assert (table.sex[0], table.age[0], table.view[0], table.projection[0]) == ("Female", 68, "Lateral", "")
    assert table.labels.dtype == np.int8
    assert table.labels[0].tolist() == [1, 0, -1, BLANK, 1, 0, -1, *[BLANK] * 6, 1]
    assert table.study_codes.tolist() == [1, 0, 0]
    assert table.patient_names[table.patient_codes].tolist() == table.patients.tolist()
    assert table.lines.tolist() == [2, 3, 4]


def test_the_oddities_of_real_copies_are_accepted(tmp_path: Path) -> None:
    shuffled = ",".join(["extra", *COLUMNS[::-1]])
    cells = ["x", *["1.0"] * 14, "LL", "Lateral", "0", "Unknown", FIRST]
    odd = write_csv(tmp_path / "odd.csv", ",".join(cells), "", header="\ufeff" + shuffled, end="\r\n")
    table = read_table(odd, tmp_path)
    assert (table.sex[0], table.age[0], table.projection[0]) == ("Unknown", 0, "LL")
    assert (table.labels == 1).all()
    blank = write_csv(tmp_path / "blank.csv", line(FIRST, sex="", age="", projection="RL"))
    assert read_table(blank, tmp_path).age.tolist() == [AGE_UNKNOWN]


@pytest.mark.parametrize(
    ("written", "made", "given", "folder", "dataset"),
    [
        ("CheXpert-v1.0-small/", "CheXpert-v1.0-small", "CheXpert-v1.0-small", "CheXpert-v1.0-small", "same"),
        ("CheXpert-v1.0-small/", "CheXpert-v1.0-small", ".", "CheXpert-v1.0-small", "CheXpert-v1.0-small"),
        ("CheXpert-v1.0-small/", "renamed", "renamed", "CheXpert-v1.0-small", "same"),
        ("", "any", "any", "", "same"),
    ],
    ids=["the folder", "its parent", "the folder renamed", "paths that begin at the split"],
)
def test_the_root_may_be_the_data_set_or_its_parent(
    tmp_path: Path, written: str, made: str, given: str, folder: str, dataset: str
) -> None:
    image = tmp_path / made / "train" / "patient00001" / "study1" / "view1_frontal.jpg"
    image.parent.mkdir(parents=True)
    image.touch()
    csv = write_csv(tmp_path / "t.csv", line(f"{written}train/patient00001/study1/view1_frontal.jpg"))
    root = tmp_path / given
    table = read_table(csv, root)
    assert table.folder == folder
    assert table.root == (root if dataset == "same" else root / dataset)
    assert (table.root / table.paths[0]).is_file()


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    import hashlib

    csv = write_csv(tmp_path / "t.csv", line(FIRST))
    assert read_table(csv, tmp_path).digest == hashlib.sha256(csv.read_bytes()).hexdigest()


@pytest.mark.parametrize("label", ["2", "2.0", "-2", "0.5", "yes", "nan", "inf"])
def test_a_label_that_is_none_is_named_with_file_row_and_column(tmp_path: Path, label: str) -> None:
    labels = ",".join(["1.0", label, *[""] * 12])
    csv = write_csv(tmp_path / "t.csv", line(FIRST), line(SECOND, labels))
    with pytest.raises(TableError, match=rf"t\.csv, row 3, column 'Enlarged Cardiomediastinum': '{label}'"):
        read_table(csv, tmp_path)


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("../train/patient00001/study1/view1.jpg", "leaves the root"),
        ("CheXpert/../../patient00001/study1/view1.jpg", "leaves the root"),
        ("CheXpert/train/patient00001/study1/..", "leaves the root"),
        ("/train/patient00001/study1/view1.jpg", "is absolute"),
        (r"CheXpert\train\patient00001\study1\view1.jpg", "backslashes"),
        (r"CheXpert/train/patient00001/study1/..\..\view1.jpg", "backslashes"),
        ("CheXpert/train/study1/view1.jpg", "is not FOLDER/SPLIT"),
        ("CheXpert/train/patient00001/view1.jpg", "is not FOLDER/SPLIT"),
        ("CheXpert/train/patient00001/study1/", "is not FOLDER/SPLIT"),
        ("CheXpert//patient00001/study1/view1.jpg", "is not FOLDER/SPLIT"),
        ("CheXpert/./patient00001/study1/view1.jpg", "is not FOLDER/SPLIT"),
        ("", "is not FOLDER/SPLIT"),
    ],
)
def test_a_path_that_leaves_the_root_or_names_no_study_is_refused(
    tmp_path: Path, path: str, complaint: str
) -> None:
    csv = write_csv(tmp_path / "t.csv", line(FIRST), line(path))
    with pytest.raises(TableError, match=rf"t\.csv, row 3, column 'Path': .*{complaint}"):
        read_table(csv, tmp_path)


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"sex": "F"}, "Sex"),
        ({"age": "-1"}, "Age"),
        ({"age": "151"}, "Age"),
        ({"age": "old"}, "Age"),
        ({"age": "1e999"}, "Age"),
        ({"view": ""}, "Frontal/Lateral"),
        ({"projection": "XX"}, "AP/PA"),
    ],
)
def test_a_value_that_cannot_be_meant_is_named(tmp_path: Path, cells: dict[str, str], column: str) -> None:
    csv = write_csv(tmp_path / "t.csv", line(FIRST), line(SECOND, **cells))
    with pytest.raises(TableError, match=rf"row 3, column '{column}'"):
        read_table(csv, tmp_path)


def test_a_path_that_stands_twice_is_named_with_both_rows(tmp_path: Path) -> None:
    csv = write_csv(tmp_path / "t.csv", line(FIRST), line(SECOND), line(FIRST))
    with pytest.raises(TableError, match=r"row 4, column 'Path': .*stands in row 2 already"):
        read_table(csv, tmp_path)


def test_a_study_in_two_folders_is_refused(tmp_path: Path) -> None:
    csv = write_csv(tmp_path / "t.csv", line(FIRST), line(FIRST.replace("/train/", "/valid/")))
    with pytest.raises(TableError, match=r"row 3, column 'Path': patient00001/study1 stands in"):
        read_table(csv, tmp_path)


def test_paths_of_two_releases_in_one_file_are_refused(tmp_path: Path) -> None:
    csv = write_csv(tmp_path / "t.csv", line(FIRST), line(SECOND.replace("v1.0-small", "v1.0")))
    with pytest.raises(
        TableError, match=r"row 3, column 'Path': .*does not begin with 'CheXpert-v1.0-small/'"
    ):
        read_table(csv, tmp_path / "anywhere")


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    header = HEADER.replace(column, "other")
    csv = write_csv(tmp_path / "t.csv", line(FIRST), header=header)
    with pytest.raises(TableError, match=rf"t\.csv, row 1, column '{column}': the column is missing"):
        read_table(csv, tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the file is empty"),
        (b"\n", "row 1: blank"),
        (HEADER.encode(), "a header but no row"),
        (f"{HEADER}\n{line(FIRST)}\n{SECOND},Male,6".encode(), r"row 3: 3 columns where the header has 19"),
        (f"{HEADER}\n{line(FIRST)},\n".encode(), "row 2: 20 columns"),
        (f"{HEADER}\n{line(FIRST)}\n\xff".encode("latin-1"), "row 3: not UTF-8"),
        (HEADER.encode("utf-16"), "row 1: not UTF-8"),
        (f'{HEADER}\n"{FIRST}"x{BLANKS}'.encode(), "row 2: not CSV"),
        (f"{HEADER},{LABELS[0]}\n".encode(), "column 'No Finding': the column stands twice"),
    ],
    ids=[
        "empty",
        "one newline",
        "header only",
        "cut short",
        "too long",
        "latin-1",
        "utf-16",
        "quotes",
        "twice",
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    csv = tmp_path / "t.csv"
    csv.write_bytes(content)
    with pytest.raises(TableError, match=complaint):
        read_table(csv, tmp_path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"nothing\.csv: cannot be read"):
        read_table(tmp_path / "nothing.csv", tmp_path)


@pytest.mark.real_cxr
def test_real_tables_are_read_from_the_folder_and_from_its_parent(real_cxr: Path) -> None:
    inside, outside = (read_table(real_cxr / "train.csv", root) for root in (real_cxr, real_cxr.parent))
    assert inside.root == outside.root
    assert inside.paths.tolist() == outside.paths.tolist()
    assert (inside.root / inside.paths[-1]).is_file()
    assert set(np.unique(inside.labels)) == {1, 0, BLANK}


def test_paths_alone_are_read_where_labels_are_not_wanted(tmp_path: Path) -> None:
    paths = [f"CheXpert-v1.0/test/patient64741/study1/view{name}.jpg" for name in ("1_frontal", "2_lateral")]
    table = read_paths(write_csv(tmp_path / "test.csv", *paths, header="Path"), tmp_path)
    assert (table.folder, list(table.view)) == ("CheXpert-v1.0", ["Frontal", "Lateral"])
    assert list(table.studies) == ["patient64741/study1"] * 2
    assert (table.labels == BLANK).all()
    with pytest.raises(TableError, match="column 'Path': the column is missing"):
        read_paths(write_csv(tmp_path / "bad.csv", *paths, header="File"), tmp_path)
