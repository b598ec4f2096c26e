"""Phantoms: the bytes, the layout, what the masks say, and that the findings can be learned."""

import csv
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedcxr.config import Phantom
from fedcxr.data.chexpert import COLUMNS, read_table
from fedcxr.data.labels import BLANK, LABELS
from fedcxr.data.phantom import NOTICE, generate, mask_path, read_mask
from fedcxr.data.phantom.atlas import Atlas, atlas
from fedcxr.data.phantom.chest import LEFT, RIGHT, Chest
from fedcxr.data.phantom.findings import PAINTERS, Sign, paint, reshape
from fedcxr.data.phantom.generate import draw
from fedcxr.data.phantom.hospital import make_hospital
from fedcxr.data.phantom.masks import pack, unpack
from fedcxr.data.phantom.patient import Patient, make_patient
from fedcxr.errors import DataError, ImageError

SMALL = Phantom(hospitals=2, patients=12, valid_fraction=0.25, size=48)


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("first") / "set"
    generate(place, SMALL, 7)
    return place


@pytest.fixture(scope="module")
def shared() -> Atlas:
    return atlas(64, 0)


def patients(count: int, hospital: int = 0) -> list[Patient]:
    where = make_hospital(3, hospital)
    return [make_patient(3, where, k, "valid") for k in range(count)]


# --- bytes -----------------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_bytes_in_any_folder(root: Path, tmp_path: Path) -> None:
    again = tmp_path / "set"
    generate(again, SMALL, 7)
    assert files(again) == files(root)


def test_another_seed_gives_other_images(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "set"
    generate(other, SMALL, 8)
    shared_names = files(other).keys() & files(root).keys()
    images = [name for name in shared_names if name.endswith(".jpg")]
    assert images
    assert all((other / name).read_bytes() != (root / name).read_bytes() for name in images)


def test_a_patient_does_not_depend_on_how_many_others_there_are(root: Path, tmp_path: Path) -> None:
    fewer = tmp_path / "set"
    generate(fewer, SMALL.model_copy(update={"hospitals": 1}), 7)
    common = [name for name in files(fewer) if name.endswith((".jpg", ".png"))]
    assert common
    assert all((fewer / name).read_bytes() == (root / name).read_bytes() for name in common)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(root: Path, tmp_path: Path) -> None:
    place = tmp_path / "set"

    def killed(done: int, total: int) -> None:
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(place, SMALL, 7, progress=killed)
    assert not (place / "train.csv").exists()
    survivors = {p: p.stat().st_mtime_ns for p in place.rglob("*.jpg")}
    generate(place, SMALL, 7)
    assert files(place) == files(root)
    assert len(survivors) == 9
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in survivors.items())


def test_a_finished_set_is_left_alone(root: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    generate(root, SMALL, 7)
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before


@pytest.mark.parametrize(("size", "seed"), [(48, 8), (64, 7)])
def test_another_seed_or_size_is_refused_where_a_set_stands(root: Path, size: int, seed: int) -> None:
    before = files(root)
    with pytest.raises(DataError, match="another seed or configuration"):
        generate(root, SMALL.model_copy(update={"size": size}), seed)
    assert files(root) == before


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("Path\n")
    with pytest.raises(DataError, match="not a phantom set"):
        generate(tmp_path, SMALL, 7)
    assert [p.name for p in tmp_path.iterdir()] == ["train.csv"]


# --- layout ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "valid"])
def test_tables_have_chexperts_columns_and_read_back(root: Path, split: str) -> None:
    with (root / f"{split}.csv").open() as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert rows[0][0].startswith(f"set/{split}/patient")
    table = read_table(root / f"{split}.csv", root)
    assert len(table) == len(rows) > 0
    for path in table.paths:
        with Image.open(root / path) as image:
            assert (image.size, image.mode) == ((48, 48), "L")


def test_every_patient_has_one_split_and_one_site(root: Path) -> None:
    with (root / "hospitals.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["patient"] for row in rows}) == len(rows) == 24
    for site in ("synthetic-01", "synthetic-02"):
        assert sum(row["site"] == site for row in rows) == 12
        assert sum(row["site"] == site and row["split"] == "valid" for row in rows) == 3
    on_disk = {p.name: p.parent.name for split in ("train", "valid") for p in (root / split).iterdir()}
    assert on_disk == {row["patient"]: row["split"] for row in rows}


def test_every_file_says_that_it_is_synthetic(root: Path) -> None:
    for path in root.rglob("*.jpg"):
        with Image.open(path) as image:
            assert image.info["comment"].decode() == NOTICE
    for path in root.rglob("*.png"):
        with Image.open(path) as mask:
            assert mask.info["Comment"] == NOTICE
    for name in ("README.txt", "phantom.json", "hospitals.csv"):
        assert "SYNTHETIC" in (root / name).read_text()


def test_progress_counts_every_image(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    place = tmp_path / "set"
    generate(place, SMALL, 7, progress=lambda done, total: seen.append((done, total)))
    count = len(list(place.rglob("*.jpg")))
    assert seen == [(k, count) for k in range(1, count + 1)]


# --- labels and masks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_mask_is_there_where_a_finding_is_and_nowhere_else(root: Path, split: str) -> None:
    table = read_table(root / f"{split}.csv", root)
    drawn = np.stack([read_mask(root, str(path)).any(axis=(1, 2)) for path in table.paths])
    marked = [k for k, name in enumerate(LABELS) if name != "No Finding"]
    assert ((np.abs(table.labels) == 1) == drawn)[:, marked].all()


def test_valid_labels_are_sure_and_train_labels_are_a_reports() -> None:
    reported = [make_patient(3, make_hospital(3, 0), k, "train") for k in range(150)]
    train = np.array([s.labels for p in reported for s in p.studies])
    valid = np.array([s.labels for p in patients(150) for s in p.studies])
    shown = [k for k, name in enumerate(LABELS) if name in PAINTERS or name in ("No Finding", "Lung Opacity")]
    hidden = [k for k in range(len(LABELS)) if k not in shown]
    assert set(np.unique(valid[:, shown])) == {0, 1}
    assert set(np.unique(train[:, shown])) == {-1, 0, 1, BLANK}
    assert (train[:, hidden] == BLANK).all()
    assert (valid[:, hidden] == BLANK).all()
    assert ((train == 1) <= (valid == 1)).all()  # a report may doubt or pass over, it does not invent


def test_no_finding_excludes_every_finding_but_devices() -> None:
    labels = np.array([s.labels for p in patients(150) for s in p.studies])
    healthy = labels[:, LABELS.index("No Finding")] == 1
    others = [k for k, name in enumerate(LABELS) if name not in ("No Finding", "Support Devices")]
    assert healthy.any()
    assert (healthy == ~(labels[:, others] == 1).any(axis=1)).all()


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("finding", PAINTERS)
def test_each_finding_changes_the_image_inside_its_mask(finding: str, size: int) -> None:
    """Also at the smallest size and severity: a lesion that cannot be seen must not be labelled."""
    small = atlas(size, 0)
    for number, patient in enumerate(patients(12)):
        pose = patient.studies[0].views[0]
        severity = (0.03, 0.3, 1.0)[number % 3]
        sign = Sign(
            finding, severity, (RIGHT, LEFT) if finding == "Edema" else ((LEFT, RIGHT)[number % 2],), number
        )
        chest = Chest(small, reshape(patient.anatomy, (sign,)), pose)
        masks = paint(chest, (sign,))
        without = Chest(small, patient.anatomy, pose).density()
        assert masks[finding].any()
        change = np.abs(chest.density() - without)
        if size == 64 and severity > 0.1:
            assert change[masks[finding]].mean() > 2 * change[~masks[finding]].mean() + 0.01


def test_lung_opacity_is_the_union_of_the_opacities(shared: Atlas) -> None:
    patient = patients(1)[0]
    signs = (Sign("Consolidation", 0.8, (LEFT,), 1), Sign("Lung Lesion", 0.5, (RIGHT,), 2))
    masks = paint(Chest(shared, patient.anatomy, patient.studies[0].views[0]), signs)
    assert (masks["Lung Opacity"] == (masks["Consolidation"] | masks["Lung Lesion"])).all()


def test_cardiomegaly_means_a_cardiothoracic_ratio_over_one_half() -> None:
    shared = atlas(256, 0)  # a pixel is half a per cent of the thorax
    for number, patient in enumerate(patients(20)):
        pose = replace(patient.studies[0].views[0], anteroposterior=False, rotation=0.0)
        sick = reshape(patient.anatomy, (Sign("Cardiomegaly", (0.03, 1.0)[number % 2], (LEFT,), 0),))
        for anatomy, enlarged in ((patient.anatomy, False), (sick, True)):
            chest = Chest(shared, anatomy, pose)
            heart = (chest.to_heart > 0) & (chest.v > -0.1) & (chest.to_diaphragm > 0)
            across = np.flatnonzero(heart.any(axis=0))
            thorax = np.flatnonzero((chest.cavity > 0.5).any(axis=0))
            ratio = (across[-1] - across[0] + 1) / (thorax[-1] - thorax[0] + 1)
            assert (ratio > 0.5) == enlarged


def test_pneumothorax_is_darker_and_effusion_brighter_than_the_lung_was(shared: Atlas) -> None:
    for finding, sign_of_change in (("Pneumothorax", -1), ("Pleural Effusion", 1)):
        patient = patients(3)[2]
        pose = patient.studies[0].views[0]
        sign = Sign(finding, 0.7, (LEFT,), 5)
        chest = Chest(shared, patient.anatomy, pose)
        mask = paint(chest, (sign,))[finding]
        change = chest.density() - Chest(shared, patient.anatomy, pose).density()
        assert sign_of_change * change[mask].mean() > 0.05


def test_packed_masks_unpack_to_what_they_were() -> None:
    rng = np.random.default_rng(0)
    masks = {name: rng.random((9, 9)) < 0.3 for name in LABELS}
    assert (unpack(pack(masks, 9)) == np.stack(list(masks.values()))).all()


def test_an_image_without_a_mask_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"view1_frontal\.png"):
        read_mask(tmp_path, "train/patient00001/study1/view1_frontal.jpg")
    wrong = mask_path(tmp_path, "a/b.jpg")
    wrong.parent.mkdir(parents=True)
    Image.new("L", (4, 4)).save(wrong)
    with pytest.raises(ImageError, match="16-bit"):
        read_mask(tmp_path, "a/b.jpg")


# --- hospitals -------------------------------------------------------------------------------------------


def test_hospitals_differ_in_look_more_than_their_images_do() -> None:
    shared = atlas(32, 0)
    brightness = []
    for number in range(5):
        hospital = make_hospital(11, number)
        people = [make_patient(11, hospital, k, "valid") for k in range(25)]
        brightness.append(
            [draw(shared, hospital, p.anatomy, p.studies[0], p.studies[0].views[0])[0].mean() for p in people]
        )
    values = np.array(brightness)
    between = values.mean(axis=1).std()
    assert between > values.std(axis=1).mean()


def test_hospitals_differ_in_case_mix() -> None:
    mixes = np.array([list(make_hospital(0, k).prevalence.values()) for k in range(20)])
    assert ((mixes >= 0.04) & (mixes <= 0.55)).all()
    assert (mixes.max(axis=0) > 2 * mixes.min(axis=0)).all()


def test_a_studys_views_share_their_findings_but_not_their_pixels() -> None:
    shared = atlas(32, 0)
    hospital = make_hospital(3, 0)
    study, anatomy = next(
        (s, p.anatomy) for p in patients(40) for s in p.studies if len(s.views) > 1 and s.signs
    )
    (first, bits), (second, other_bits) = (
        draw(shared, hospital, anatomy, study, pose) for pose in study.views[:2]
    )
    assert (first != second).any()
    assert (unpack(bits).any(axis=(1, 2)) == unpack(other_bits).any(axis=(1, 2))).all()


# --- use -------------------------------------------------------------------------------------------------


def test_each_drawn_finding_can_be_learned_from_cheap_features() -> None:
    """Ridge regression on a 16 x 16 picture of 4 hospitals; no view of a patient is on both sides."""
    shared = atlas(32, 0)
    features: dict[str, list[np.ndarray]] = {"train": [], "valid": []}
    truth: dict[str, list[list[bool]]] = {"train": [], "valid": []}
    for number in range(4):
        hospital = make_hospital(2, number)
        for k in range(450):
            split = "valid" if k % 3 == 0 else "train"
            patient = make_patient(2, hospital, k, "valid")
            study = patient.studies[-1]
            image, bits = draw(shared, hospital, patient.anatomy, study, study.views[0])
            small = image.astype(np.float64).reshape(16, 2, 16, 2).mean(axis=(1, 3))
            features[split].append(((small - small.mean()) / (small.std() + 1)).ravel())
            truth[split].append(unpack(bits).any(axis=(1, 2)).tolist())
    x, y = np.array(features["train"]), np.array(truth["train"], float)
    mean = x.mean(axis=0)
    weights = np.linalg.solve(
        (x - mean).T @ (x - mean) + 15 * np.eye(256), (x - mean).T @ (y - y.mean(axis=0))
    )
    scores, positive = (np.array(features["valid"]) - mean) @ weights, np.array(truth["valid"])
    found = {
        name: auroc(scores[:, k], positive[:, k]) for k, name in enumerate(LABELS) if positive[:, k].any()
    }
    assert set(found) == {*PAINTERS, "Lung Opacity"}
    poor = {name: round(value, 3) for name, value in found.items() if value < 0.6}
    small_signs = {"Lung Lesion", "Support Devices"}  # finer than a 16 x 16 picture shows well
    assert not poor.keys() - small_signs, found
    assert min(found.values()) > 0.5, found


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Mann-Whitney by comparison of all pairs."""
    return float((scores[positive][:, None] > scores[~positive][None, :]).mean())


def test_drawing_is_fast(tmp_path: Path) -> None:
    """A bound that a busy machine keeps; the figure to hold is 200 images/s on one core."""
    phantom = Phantom(hospitals=1, patients=60, size=128)
    atlas(phantom.size, 0)
    done = []
    start = time.process_time()
    generate(tmp_path / "set", phantom, 0, progress=lambda k, total: done.append(k))
    assert len(done) / (time.process_time() - start) > 60
