"""An evaluation: per study, three-valued labels, intervals, hospitals, and what is undefined."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedcxr.data.chexpert import read_table
from fedcxr.data.labels import BLANK, COMPETITION_LABELS, LABELS
from fedcxr.errors import DataError, NonFiniteError
from fedcxr.evaluation import metrics
from fedcxr.evaluation.auroc import auroc
from fedcxr.evaluation.bootstrap import FEWEST
from fedcxr.evaluation.metrics import Evaluation

EDEMA = LABELS.index("Edema")


def blanks(count: int) -> NDArray[np.int8]:
    return np.full((count, len(LABELS)), BLANK, dtype=np.int8)


def drawn(count: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.int64]]:
    """Probabilities that say something about the labels, all of which are known."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((count, 14)) < 0.3).astype(np.int8)
    probabilities = np.clip(0.3 * labels + generator.random((count, 14)) * 0.7, 0, 1).astype(np.float32)
    return probabilities, labels, np.arange(count)


def evaluate(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int8],
    studies: NDArray[np.int64],
    *,
    hospitals: dict[str, NDArray[np.int64]] | None = None,
    bootstrap: int,
    seed: int,
) -> Evaluation:
    """Each study is a patient of its own."""
    return metrics.evaluate(
        probabilities, labels, studies, studies, hospitals=hospitals, bootstrap=bootstrap, seed=seed
    )


def test_a_study_scores_the_maximum_of_its_views() -> None:
    labels = blanks(4)
    labels[:, EDEMA] = 0, 1, 1, 0
    probabilities = np.zeros((4, 14), dtype=np.float32)
    probabilities[:, EDEMA] = 0.5, 0.2, 0.9, 0.1
    studies = np.array([7, 3, 3, 9])  # the positive study has two views, one of which shows nothing
    found = evaluate(probabilities, labels, studies, bootstrap=0, seed=0)
    assert (found.images, found.studies) == (4, 3)
    assert found.label("Edema").value == 1.0
    assert (found.label("Edema").positives, found.label("Edema").negatives) == (1, 2)


def test_rows_of_a_study_that_differ_take_the_highest_label() -> None:
    labels = blanks(6)
    labels[:, EDEMA] = 0, 1, -1, 0, BLANK, -1
    probabilities = np.full((6, 14), 0.5, dtype=np.float32)
    found = evaluate(probabilities, labels, np.array([0, 0, 1, 1, 2, 2]), bootstrap=0, seed=0)
    assert (found.label("Edema").positives, found.label("Edema").negatives) == (1, 1)


def test_uncertain_and_blank_labels_do_not_count() -> None:
    probabilities, labels, studies = drawn(60)
    unsure = labels.copy()
    unsure[10:20, EDEMA] = -1
    unsure[20:30, EDEMA] = BLANK
    found = evaluate(probabilities, unsure, studies, bootstrap=0, seed=0).label("Edema")
    kept = np.r_[0:10, 30:60]
    assert found.value == auroc(probabilities[kept, EDEMA], labels[kept, EDEMA] == 1)
    assert found.positives + found.negatives == len(kept)


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        ((1, 1, -1), "no negative study"),
        ((0, 0, BLANK), "no positive study"),
        ((-1, BLANK, BLANK), "no study with this label known"),
    ],
)
def test_one_class_is_undefined_and_says_why(codes: tuple[int, ...], reason: str) -> None:
    probabilities, labels, studies = drawn(3)
    labels[:, EDEMA] = codes
    score = evaluate(probabilities, labels, studies, bootstrap=100, seed=0).label("Edema")
    assert (score.value, score.low, score.high, score.resamples) == (None, None, None, 0)
    assert score.undefined == reason


def test_means_go_over_the_defined_labels_and_say_how_many() -> None:
    probabilities, labels, studies = drawn(200)
    labels[:, EDEMA] = 0
    labels[:, LABELS.index("Fracture")] = BLANK
    found = evaluate(probabilities, labels, studies, bootstrap=0, seed=0)
    five = [name for name in COMPETITION_LABELS if name != "Edema"]
    assert (sorted(found.competition.labels), found.competition.of) == (sorted(five), 5)
    assert found.competition.value == pytest.approx(np.mean([found.label(name).value for name in five]))
    assert (len(found.macro.labels), found.macro.of) == (12, 14)
    assert found.macro.value == pytest.approx(
        np.mean([score.value for score in found.labels if score.value is not None])
    )


def test_intervals_agree_with_a_naive_bootstrap() -> None:
    probabilities, labels, studies = drawn(80)
    found = evaluate(probabilities, labels, studies, bootstrap=400, seed=5)
    generator = np.random.default_rng(5)
    values = []
    for rows in generator.integers(0, 80, (400, 80)):
        values.append([auroc(probabilities[rows, c], labels[rows, c] == 1) for c in range(14)])
    areas = np.array(values, dtype=np.float64)
    low, high = np.quantile(areas[:, EDEMA], (0.025, 0.975))
    assert (found.label("Edema").low, found.label("Edema").high) == pytest.approx((low, high), abs=1e-12)
    low, high = np.quantile(areas.mean(axis=1), (0.025, 0.975))
    assert (found.macro.low, found.macro.high) == pytest.approx((low, high), abs=1e-12)


def test_patients_are_resampled_whole() -> None:
    """Copies of a study under the same patient say nothing new; under patients of their own they seem to."""
    probabilities, labels, studies = drawn(60)
    copied = [np.repeat(array, 4, axis=0) for array in (probabilities, labels, studies)]
    once = metrics.evaluate(probabilities, labels, studies, studies, bootstrap=400, seed=2).macro
    studies = np.arange(240)
    together = metrics.evaluate(copied[0], copied[1], studies, copied[2], bootstrap=400, seed=2).macro
    apart = metrics.evaluate(copied[0], copied[1], studies, studies, bootstrap=400, seed=2).macro
    assert (together.low, together.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert None not in (apart.low, apart.high, once.low, once.high)
    assert apart.high - apart.low < 0.6 * (once.high - once.low)  # type: ignore[operator]
    with pytest.raises(DataError, match="two patients"):
        metrics.evaluate(copied[0], copied[1], copied[2], studies, bootstrap=0, seed=0)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    truth = 0.7602  # P(X + 1 > Y) of two standard normals
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(100):
        labels = blanks(150)
        labels[:, EDEMA] = generator.random(150) < 0.4
        logits = generator.normal(size=150) + labels[:, EDEMA]
        probabilities = np.repeat(1 / (1 + np.exp(-logits)), 14).reshape(150, 14).astype(np.float32)
        score = evaluate(probabilities, labels, np.arange(150), bootstrap=200, seed=seed).label("Edema")
        assert score.low is not None
        assert score.high is not None
        covered += score.low <= truth <= score.high
    assert 88 <= covered <= 99


def test_a_resample_with_one_class_does_not_count() -> None:
    probabilities, labels, studies = drawn(40)
    labels[:, EDEMA] = 0
    labels[3, EDEMA] = 1  # in 1 - (1 - 1/40) ** 40 = 64 % of all resamples
    found = evaluate(probabilities, labels, studies, bootstrap=1000, seed=0)
    assert 580 < found.label("Edema").resamples < 700
    assert found.macro.resamples <= found.label("Edema").resamples
    assert found.label("Edema").low is not None


def test_too_few_resamples_give_no_interval() -> None:
    few = evaluate(*drawn(40), bootstrap=FEWEST - 1, seed=0)
    assert few.macro.value is not None
    assert few.macro.low is None
    assert evaluate(*drawn(40), bootstrap=FEWEST, seed=0).macro.low is not None


def test_a_hospital_is_scored_as_if_it_were_alone() -> None:
    probabilities, labels, studies = drawn(100)
    rows = np.arange(30, 70)
    found = evaluate(
        probabilities, labels, studies, hospitals={"north": rows, "empty": rows[:0]}, bootstrap=50, seed=1
    )
    own = evaluate(probabilities[rows], labels[rows], studies[rows], bootstrap=0, seed=1)
    north = found.hospitals["north"]
    assert (north.studies, north.macro.value) == (40, own.macro.value)
    assert north.macro.low is not None
    assert (found.hospitals["empty"].studies, found.hospitals["empty"].macro.value) == (0, None)


def test_the_order_of_images_decides_nothing() -> None:
    probabilities, labels, studies = drawn(60)
    studies //= 2
    labels = labels[studies * 2]
    order = np.random.default_rng(1).permutation(60)
    one = evaluate(probabilities, labels, studies, bootstrap=100, seed=2)
    assert one == evaluate(probabilities[order], labels[order], studies[order], bootstrap=100, seed=2)
    assert one != evaluate(probabilities, labels, studies, bootstrap=100, seed=3)


codes = st.lists(st.lists(st.sampled_from([1, 0, -1, BLANK]), min_size=14, max_size=14), max_size=12)


@settings(deadline=None, max_examples=50)
@given(codes, st.integers(0, 2**32))
def test_json_reads_back_equal_and_has_no_nan(rows: list[list[int]], seed: int) -> None:
    labels = np.array(rows, dtype=np.int8).reshape(len(rows), 14)
    generator = np.random.default_rng(seed)
    probabilities = generator.random(labels.shape, dtype=np.float32)
    hospitals = {"ä": np.arange(len(rows) // 2)}
    found = evaluate(
        probabilities, labels, np.arange(len(rows)), hospitals=hospitals, bootstrap=50, seed=seed
    )
    assert Evaluation.from_json(found.to_json()) == found
    assert Evaluation.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found


def test_a_record_from_before_patients_were_counted_is_read() -> None:
    labels = np.zeros((40, 14), np.int8)
    labels[:6] = 1
    owners = np.arange(40) // 3
    found = metrics.evaluate(
        np.zeros((40, 14), np.float32), labels, np.arange(40), owners, bootstrap=0, seed=0
    )
    tree = found.to_dict()
    for label in tree["labels"]:
        assert (label.pop("positive_patients"), label.pop("negative_patients")) == (2, 12)
    read = Evaluation.from_dict(tree)
    assert [score.fewest for score in (*found.labels, *read.labels)] == [2] * 14 + [6] * 14


def test_damaged_json_names_the_field() -> None:
    tree = evaluate(*drawn(20), bootstrap=0, seed=0).to_dict()
    tree["macro"]["value"] = "high"
    with pytest.raises(DataError, match=r"not an evaluation: macro\.value"):
        Evaluation.from_dict(tree)
    with pytest.raises(DataError, match="not an evaluation"):
        Evaluation.from_json("{}")


def test_what_does_not_fit_is_named() -> None:
    probabilities, labels, studies = drawn(10)
    with pytest.raises(DataError, match=r"probabilities have the shape \(10, 13\)"):
        evaluate(probabilities[:, 1:], labels, studies, bootstrap=0, seed=0)
    with pytest.raises(DataError, match=r"labels have the shape \(9, 14\)"):
        evaluate(probabilities, labels[1:], studies, bootstrap=0, seed=0)
    with pytest.raises(DataError, match="not 0 to 2"):
        evaluate(probabilities, labels + (labels == 1), studies, bootstrap=0, seed=0)
    with pytest.raises(DataError, match=r"hospital 'north': rows 8 to 10 of 10"):
        evaluate(probabilities, labels, studies, hospitals={"north": np.array([8, 10])}, bootstrap=0, seed=0)
    with pytest.raises(DataError, match="bootstrap = -1"):
        evaluate(probabilities, labels, studies, bootstrap=-1, seed=0)
    probabilities[4, EDEMA] = np.nan
    with pytest.raises(NonFiniteError, match="Edema for image 4"):
        evaluate(probabilities, labels, studies, bootstrap=0, seed=0)


def test_a_thousand_resamples_of_1500_studies_take_under_two_seconds() -> None:
    case = drawn(1500)
    evaluate(*case, bootstrap=40, seed=0)
    started = time.process_time()
    evaluate(*case, bootstrap=1000, seed=0)
    assert time.process_time() - started < 2.0


@pytest.mark.real_cxr
def test_real_labels_leave_undefined_what_no_source_speaks_of(real_cxr: Path) -> None:
    table = read_table(real_cxr / "valid.csv", real_cxr)
    oracle = (table.labels == 1).astype(np.float32)
    guangzhou = np.flatnonzero((table.labels >= 0).sum(axis=1) == 2)  # normal or pneumonia, nothing else
    found = evaluate(
        oracle, table.labels, table.study_codes, hospitals={"guangzhou": guangzhou}, bootstrap=50, seed=0
    )
    unsaid = {"Enlarged Cardiomediastinum", "Fracture", "Support Devices"}
    assert {score.label for score in found.labels if score.value is None} == unsaid
    assert (found.competition.value, found.macro.value, len(found.macro.labels)) == (1.0, 1.0, 11)
    assert set(found.hospitals["guangzhou"].macro.labels) <= {"No Finding", "Pneumonia"}
