"""Scores case by case: kept as CSV, and what two methods or models differ by."""

from pathlib import Path

import numpy as np
import pytest

from fedcxr.errors import DataError, StoreError
from fedcxr.evaluation.explanation.case_scores import COLUMNS, CaseScores
from fedcxr.evaluation.explanation.localisation import FEWEST_PATIENTS, means
from fedcxr.evaluation.explanation.saliency import Method

COUNT = 160  # of 80 patients


def scores(seed: int, *, lift: float = 0.0) -> CaseScores:
    generator = np.random.default_rng(seed)
    paths = np.array([f"valid/patient{k // 2:05}/study1/view{k % 2}.jpg" for k in range(COUNT)])
    labels = np.where(np.arange(COUNT) % 3 == 0, "Edema", "Cardiomegaly")
    values = generator.random((COUNT, len(COLUMNS)))
    values[::7, :4] = np.nan  # without a mask
    attention = values + lift
    return CaseScores.of(
        paths, labels, np.arange(COUNT) // 2, {Method.GRAD_CAM: values, Method.ATTENTION: attention}
    )


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    own = scores(0)
    path = tmp_path / "explain.csv"
    path.write_text(own.to_csv())
    found = CaseScores.read(path)
    assert found.cases.equals(own.cases)
    assert list(found.methods) == ["grad-cam", "attention"]
    for name, values in own.methods.items():
        np.testing.assert_allclose(found.methods[name], values, atol=1e-5)
    assert own.minus(found, "grad-cam", "grad-cam", resamples=0, seed=0).values == pytest.approx(0, abs=1e-5)


def test_differences_are_paired_over_patients() -> None:
    own, other = scores(0, lift=0.2), scores(1)
    within = own.minus(own, "attention", "grad-cam", resamples=100, seed=0)
    for column in range(len(COLUMNS)):
        same = within.estimate([column])
        assert (same.value, same.low, same.high) == pytest.approx((0.2, 0.2, 0.2))
    between = own.minus(other, "grad-cam", "grad-cam", resamples=400, seed=0).estimate([0])
    expected = own.methods["grad-cam"][:, 0] - other.methods["grad-cam"][:, 0]
    assert between.value == pytest.approx(np.nanmean(expected))
    assert between.low is not None
    assert between.high is not None
    assert between.low < np.nanmean(expected) < between.high
    reach = 2 * 1.96 * np.nanstd(expected) / np.sqrt(np.isfinite(expected).sum())
    assert between.high - between.low == pytest.approx(reach, rel=0.35)


@pytest.mark.parametrize(("count", "some"), [(FEWEST_PATIENTS - 1, False), (FEWEST_PATIENTS, True)])
def test_few_patients_give_a_mean_and_no_interval(count: int, some: bool) -> None:
    values = np.ones((2 * count + 2, 2))
    values[-2:, 0] = np.nan  # one patient more for the other column
    found = means(values, np.arange(2 * count + 2) // 2, resamples=50, seed=0, fewest=FEWEST_PATIENTS)
    assert found.estimate([0]).value == 1
    assert (found.estimate([0]).low == 1) == some
    assert found.estimate([1]).low == 1


def test_other_cases_and_other_files_are_refused(tmp_path: Path) -> None:
    own = scores(0)
    fewer = CaseScores(own.cases[:30], {name: values[:30] for name, values in own.methods.items()})
    with pytest.raises(DataError, match="not explained on the same cases"):
        own.minus(fewer, "grad-cam", "grad-cam", resamples=0, seed=0)
    path = tmp_path / "explain.csv"
    for text in ("", "Path,label\n", own.to_csv().replace("coverage", "cover")):
        path.write_text(text)
        with pytest.raises(StoreError, match="no scores of explained cases"):
            CaseScores.read(path)
    path.write_text(own.to_csv().rsplit("\n", 3)[0] + "\n")
    with pytest.raises(StoreError, match="not on the same cases"):
        CaseScores.read(path)
