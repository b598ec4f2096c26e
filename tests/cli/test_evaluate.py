"""``fedcxr evaluate``: the competition's figures from CSVs as people write them, against scikit-learn."""

import csv as csv_module
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner, Result

from fedcxr.cli import app
from fedcxr.data.labels import COMPETITION_LABELS, LABELS
from fedcxr.errors import DataError, FedcxrError, TableError

FIVE = list(COMPETITION_LABELS)
COUNT = 80


def make(seed: int, noise: float, count: int = COUNT) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions and truth of ``count`` studies, one a patient."""
    studies = [f"CheXpert-v1.0/test/patient{64000 + k}/study1" for k in range(count)]
    truth = (np.random.default_rng(1).random((count, 5)) < 0.4).astype(float)
    generator = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(-(truth + noise * generator.normal(size=truth.shape))))
    frames = pd.DataFrame(scores.round(4), columns=FIVE), pd.DataFrame(truth, columns=FIVE)
    for frame in frames:
        frame.insert(0, "Study", studies)
    return frames


@pytest.fixture
def predictions() -> pd.DataFrame:
    return make(2, 1.0)[0]


@pytest.fixture
def truth() -> pd.DataFrame:
    return make(2, 1.0)[1]


def call(folder: Path, predictions: pd.DataFrame | str, truth: pd.DataFrame | str, *more: object) -> Result:
    for name, content in (("P.csv", predictions), ("T.csv", truth)):
        text = content if isinstance(content, str) else content.to_csv(index=False)
        (folder / name).write_text(text)
    arguments = ["--predictions", folder / "P.csv", "--truth", folder / "T.csv", "--bootstrap", 50, *more]
    return CliRunner().invoke(app.app, ["evaluate", *map(str, arguments)])


def answer(*arguments: Any) -> dict[str, Any]:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.exception or result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused(result: Result, *said: str, kind: type[FedcxrError] = TableError) -> None:
    assert isinstance(result.exception, kind), (result.exception, result.output)
    for words in said:
        assert words in str(result.exception), str(result.exception)


def official(predictions: pd.DataFrame, truth: pd.DataFrame, labels: list[str] = FIVE) -> dict[str, float]:
    joined = truth.merge(predictions, on="Study", suffixes=("", " p"))
    return {label: roc_auc_score(joined[label], joined[f"{label} p"]) for label in labels}


def test_the_official_figures(tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame) -> None:
    found, expected = answer(tmp_path, predictions, truth), official(predictions, truth)
    assert {label: task["auroc"] for label, task in found["tasks"].items()} == pytest.approx(expected)
    assert found["mean_auroc"] == pytest.approx(np.mean(list(expected.values())))
    assert found["low"] < found["mean_auroc"] < found["high"]
    for task in found["tasks"].values():
        assert task["low"] < task["auroc"] < task["high"]
        assert task["delong"]["value"] == pytest.approx(task["auroc"])
        assert task["positives"] + task["negatives"] == COUNT
    assert (found["schema"], found["task_set"], found["studies"]) == (2, "competition", COUNT)
    assert found["warnings"] == []


def test_the_form_of_the_file_decides_nothing(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    wanted = answer(tmp_path, predictions, truth)
    shuffled = predictions.sample(frac=1, random_state=0)[["Edema", "Study", *FIVE[:3], FIVE[4]]]
    spelt = shuffled.rename(columns={"Pleural Effusion": " pleural  effusion", "Edema": "EDEMA"})
    spelt["Study"] = spelt["Study"].str.replace("CheXpert-v1.0/", "CheXpert-v1.0-small/") + "/"
    windows = "\ufeff" + spelt.to_csv(index=False).replace("\n", "\r\n") + "\r\n"
    short = truth.assign(Study=truth["Study"].str.removeprefix("CheXpert-v1.0/test/"))
    found = answer(tmp_path, windows, short)
    assert found == wanted


def test_images_are_reduced_to_the_highest_of_a_study(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    wanted = answer(tmp_path, predictions, truth)
    views = [
        frame.rename(columns={"Study": "Path"}).assign(Path=frame["Study"] + f"/view{k}_frontal.jpg")
        for k, frame in enumerate((predictions, predictions), start=1)
    ]
    views[1][FIVE] *= 0.9  # the lower one
    by_image = pd.concat(views).sample(frac=1, random_state=1)
    chexpert = truth.rename(columns={"Study": "Path"}).assign(Sex="Male", Age=50)
    chexpert["AP/PA"] = "AP"
    chexpert["Path"] += "/view1_frontal.jpg"
    for image_level, told in ((by_image, truth), (by_image, chexpert), (predictions, chexpert)):
        found = answer(tmp_path, image_level, told)
        assert (found["tasks"], found["mean_auroc"]) == (wanted["tasks"], wanted["mean_auroc"])
        assert found["warnings"] == []


def test_a_study_has_one_truth_and_one_prediction(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    twice = pd.concat([predictions, predictions.iloc[[3]]])
    refused(call(tmp_path, twice, truth), "P.csv, row 82, column 'Study'", "stands in row 5 already")
    refused(call(tmp_path, predictions, pd.concat([truth, truth.iloc[[3]]])), "T.csv, row 82")
    other = predictions.iloc[[3]].assign(Study=predictions["Study"][3].replace("test", "train"))
    refused(call(tmp_path, pd.concat([predictions, other]), truth), "row 82", "in row 5 and here elsewhere")
    views = pd.concat([truth, truth]).rename(columns={"Study": "Path"})
    views["Path"] = [f"{path}/view{k // COUNT}.jpg" for k, path in enumerate(views["Path"])]
    views.iloc[COUNT + 7, 1] = 1 - views.iloc[COUNT + 7, 1]
    refused(call(tmp_path, predictions, views), f"row {COUNT + 9}, column 'Atelectasis'", "it has one truth")
    again = pd.concat([views.iloc[:COUNT], views.iloc[[0]]])
    refused(call(tmp_path, predictions, again), "row 82, column 'Path'", "stands in row 2 already")
    spelt = again.assign(Path=[*again["Path"].iloc[:COUNT], "./" + again["Path"].iloc[0]])
    refused(call(tmp_path, spelt, truth), "row 82, column 'Path'", "stands in row 2 already")


def test_images_that_were_not_predicted_are_pointed_out(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    def views(frame: pd.DataFrame, k: int) -> pd.DataFrame:
        return frame.rename(columns={"Study": "Path"}).assign(Path=frame["Study"] + f"/view{k}_frontal.jpg")

    told = pd.concat([views(truth, 1), views(truth[:3], 2)])
    (warning,) = answer(tmp_path, views(predictions, 1), told)["warnings"]
    assert "of 3 studies it has fewer images than" in warning
    views(predictions, 1).to_csv(tmp_path / "P2.csv", index=False)
    every = pd.concat([views(predictions, 1), views(predictions, 2)])
    (warning,) = answer(tmp_path, every, told, "--compare", tmp_path / "P2.csv")["warnings"]
    assert "P2.csv: of 3 studies it has fewer images than" in warning
    assert answer(tmp_path, every, told)["warnings"] == []


def test_studies_that_do_not_say_whose_they_are_are_pointed_out(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    own = [f"p{number // 2:05d}/s{number % 2}" for number in range(COUNT)]
    found = answer(tmp_path, predictions.assign(Study=own), truth.assign(Study=own))
    assert found["patients"] == COUNT
    (warning,) = found["warnings"]
    assert "80 of 80 studies do not say whose they are, such as p00000/s0" in warning
    unsaid = predictions.assign(Study=own), truth.assign(Study=own)
    assert warning in call(tmp_path, *unsaid, "--json").stderr
    assert not call(tmp_path, predictions, truth, "--json").stderr


def test_missing_studies_are_an_error_and_extra_ones_are_left_out(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    refused(call(tmp_path, predictions.drop(index=[5, 6]), truth), "no prediction for 2 of the 80", "64005")
    found = answer(tmp_path, predictions, truth.drop(index=[5, 6]))
    expected = official(predictions, truth.drop(index=[5, 6]))
    assert {label: task["auroc"] for label, task in found["tasks"].items()} == pytest.approx(expected)
    assert found["extra_studies"] == 2
    assert any("2 studies of" in warning and "are not in" in warning for warning in found["warnings"])
    elsewhere = truth.assign(Study=truth["Study"].str.replace("/test/", "/valid/"))
    refused(call(tmp_path, predictions, elsewhere), "is of split 'test' here, and of 'valid' in")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nan", "'nan' is not finite"),
        ("inf", "not finite"),
        ("", "the cell is blank"),
        ("high", "no number"),
        ("1_0", "'1_0' is no number"),
    ],
)
def test_every_prediction_is_a_finite_number(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame, text: str, said: str
) -> None:
    predictions["Edema"] = predictions["Edema"].astype(object)
    predictions.loc[9, "Edema"] = text
    refused(call(tmp_path, predictions, truth), "P.csv, row 11, column 'Edema'", said)


def test_uncertain_and_blank_truth_is_left_out(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    unsure = truth.copy()
    unsure.loc[:9, "Edema"] = -1
    unsure.loc[10:19, "Edema"] = np.nan
    found = answer(tmp_path, predictions, unsure)
    expected = official(predictions, truth.iloc[20:])["Edema"]
    assert found["tasks"]["Edema"]["auroc"] == pytest.approx(expected)
    assert found["tasks"]["Edema"]["unknown"] == 20
    unsure.loc[0, "Edema"] = 0.5
    refused(call(tmp_path, predictions, unsure), "T.csv, row 2, column 'Edema'", "'0.5' is not a label")
    text = truth.to_csv(index=False).replace(",1.0\n", ",0_1\n", 1).replace(",1\n", ",0_1\n", 1)
    refused(call(tmp_path, predictions, text), "'0_1' is not a label")


def test_a_task_of_one_class_is_undefined_and_named(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    found = answer(tmp_path, predictions, truth.assign(Edema=0.0))
    expected = official(predictions, truth)
    del expected["Edema"]
    assert found["tasks"]["Edema"]["auroc"] is None
    assert found["tasks"]["Edema"]["undefined"] == "no positive study"
    assert found["mean_auroc"] == pytest.approx(np.mean(list(expected.values())))
    assert any(warning.startswith("Edema: no positive study") for warning in found["warnings"])
    refused(
        call(tmp_path, predictions[["Study", "Edema"]], truth.assign(Edema=0.0)), "no task", kind=DataError
    )


def test_columns(tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame) -> None:
    found = answer(tmp_path, predictions[["Edema", "Study", "Cardiomegaly"]], truth)
    assert list(found["tasks"]) == ["Cardiomegaly", "Edema"]
    assert any("P.csv has no Atelectasis, Consolidation, Pleural Effusion" in w for w in found["warnings"])
    assert any("model" in w for w in answer(tmp_path, predictions.assign(model="a"), truth)["warnings"])
    misspelt = predictions.rename(columns={"Atelectasis": "Atelectasys"})
    refused(call(tmp_path, misspelt, truth), "column 'Atelectasys'", "is it 'Atelectasis'?")
    beside = answer(tmp_path, predictions.assign(Edema_std=0.1), truth)
    assert beside["mean_auroc"] == answer(tmp_path, predictions, truth)["mean_auroc"]
    assert any(warning.endswith("columns passed over: Edema_std.") for warning in beside["warnings"])
    again = predictions.assign(**{"pleural_effusion": 0.5})
    refused(call(tmp_path, again, truth), "Pleural Effusion stands twice")
    refused(call(tmp_path, predictions.drop(columns="Study"), truth), "neither a column 'Study' nor 'Path'")
    refused(call(tmp_path, predictions[["Study"]], truth), "no column of a label")
    fracture = predictions[["Study"]].assign(Fracture=0.5)
    refused(call(tmp_path, fracture, truth, "--labels", "all"), "no label in common")
    refused(call(tmp_path, "", truth), "P.csv: the file is empty")
    refused(call(tmp_path, ",".join(predictions.columns) + "\n", truth), "a header but no row")


def test_all_14_tasks(tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame) -> None:
    generator = np.random.default_rng(0)
    for label in LABELS:
        if label not in FIVE:
            predictions[label], truth[label] = generator.random(COUNT), np.arange(COUNT) % 3 == 0
    truth[list(LABELS)] = truth[list(LABELS)].astype(float)
    found = answer(tmp_path, predictions, truth, "--labels", "all")
    expected = official(predictions, truth, list(LABELS))
    assert list(found["tasks"]) == list(LABELS)
    assert found["mean_auroc"] == pytest.approx(np.mean(list(expected.values())))


def test_two_models_are_compared_on_the_same_resamples(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    other = make(3, 2.0)[0]
    other.sample(frac=1, random_state=2).to_csv(tmp_path / "P2.csv", index=False)
    found = answer(tmp_path, predictions, truth, "--compare", tmp_path / "P2.csv")["comparison"]
    first, second = official(predictions, truth), official(other, truth)
    for label, task in found["tasks"].items():
        assert task["difference"] == pytest.approx(first[label] - second[label])
        assert task["low"] <= task["difference"] <= task["high"]
        assert task["delong"]["value"] == pytest.approx(task["difference"])
        assert 0 < task["delong"]["p"] < 1
    assert found["difference"] == pytest.approx(np.mean([first[k] - second[k] for k in FIVE]))
    predictions.to_csv(tmp_path / "P2.csv", index=False)
    same = answer(tmp_path, predictions, truth, "--compare", tmp_path / "P2.csv")["comparison"]
    assert (same["difference"], same["low"], same["high"]) == (0, 0, 0)
    fewer = answer(tmp_path, predictions, truth[3:], "--compare", tmp_path / "P2.csv")
    assert any("3 studies of" in warning and "P2.csv" in warning for warning in fewer["warnings"])
    assert all(task["delong"]["p"] == 1 for task in same["tasks"].values())
    other.drop(columns="Edema").to_csv(tmp_path / "P2.csv", index=False)
    refused(call(tmp_path, predictions, truth, "--compare", tmp_path / "P2.csv"), "no column 'Edema'")


def test_delong_keeps_silent_where_a_patient_has_two_studies(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    for frame in (predictions, truth):
        frame["Study"] = [f"patient{k // 2}/study{k % 2}" for k in range(COUNT)]
    found = answer(tmp_path, predictions, truth)
    assert found["patients"] == COUNT // 2
    assert all(task["delong"] is None for task in found["tasks"].values())
    said = " ".join(call(tmp_path, predictions, truth).output.split())
    assert "–, where a patient has two studies, or a class fewer than two" in said


def test_metrics_at_thresholds_of_other_patients(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    found = answer(tmp_path, predictions, truth, "--metrics")
    assert "cross-fitted over 5 folds" in found["thresholds_from"]
    edema = found["metrics"]["labels"]["Edema"]
    assert edema["auroc"]["value"] == found["tasks"]["Edema"]["auroc"]
    assert edema["sensitivity"]["low"] < edema["sensitivity"]["value"] < edema["sensitivity"]["high"]
    for frame, name in zip(make(5, 1.0), ("CP.csv", "CT.csv"), strict=True):
        frame["Study"] = frame["Study"].str.replace("patient64", "patient55")
        frame.to_csv(tmp_path / name, index=False)
    options = ("--calibrate-on", tmp_path / "CP.csv", "--calibrate-truth", tmp_path / "CT.csv")
    fitted = answer(tmp_path, predictions, truth, *options, "--target-sensitivity", 0.9)
    threshold = fitted["metrics"]["thresholds"]["Edema"]
    assert "sensitivity of at least 0.9, on 80 studies" in fitted["thresholds_from"]
    joined = truth.merge(predictions, on="Study", suffixes=("", " p"))
    said = joined["Edema p"] >= threshold
    sensitivity = fitted["metrics"]["labels"]["Edema"]["sensitivity"]["value"]
    assert sensitivity == pytest.approx(said[joined["Edema"] == 1].mean())
    own = ("--calibrate-on", tmp_path / "P.csv", "--calibrate-truth", tmp_path / "T.csv")
    refused(call(tmp_path, predictions, truth, *own), "80 of its patients are in", kind=DataError)
    assert call(tmp_path, predictions, truth, *own[:2]).exit_code == 2
    idle = call(tmp_path, predictions, truth, "--target-sensitivity", 0.9)
    assert idle.exit_code == 2
    assert "it wants --metrics" in idle.output


def calibration(folder: Path, predictions: pd.DataFrame, truth: pd.DataFrame) -> tuple[object, ...]:
    """Options to fit thresholds on other patients than :func:`make` has."""
    for frame, name in ((predictions, "CP.csv"), (truth, "CT.csv")):
        moved = frame.assign(Study=frame["Study"].str.replace("patient64", "patient55"))
        moved.to_csv(folder / name, index=False)
    return "--calibrate-on", folder / "CP.csv", "--calibrate-truth", folder / "CT.csv"


def test_a_label_without_a_threshold_is_named(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    other, told = make(5, 1.0)
    options = calibration(tmp_path, other, told.assign(Edema=1.0))
    found = answer(tmp_path, predictions, truth, *options)
    (warning,) = found["warnings"]
    assert "Edema: the calibration truth has no negative study: no threshold" in warning
    assert found["metrics"]["thresholds"]["Edema"] is None
    assert warning in " ".join(call(tmp_path, predictions, truth, *options).output.split())
    rare = truth.assign(Edema=np.eye(COUNT)[0])
    (warning,) = answer(tmp_path, predictions, rare, "--metrics")["warnings"]
    assert "Edema: too few patients of a class for cross-fitting: no threshold" in warning
    assert answer(tmp_path, predictions, truth, "--metrics")["warnings"] == []


def test_what_thresholds_are_fitted_on_is_looked_at_as_closely(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    other, told = make(5, 1.0)
    options = calibration(tmp_path, other.assign(model="a"), told[3:].assign(note="b"))
    warnings = answer(tmp_path, predictions, truth, *options)["warnings"]
    for said in ("CP.csv: columns passed over: model", "CT.csv: columns passed over: note", "3 studies of"):
        assert any(said in warning for warning in warnings), warnings
    options = calibration(tmp_path, other, told.drop(columns="Atelectasis"))
    refused(
        call(tmp_path, predictions, truth, *options), "CT.csv, row 1: no column 'Atelectasis', a label that"
    )


@pytest.mark.parametrize("target", ["nan", "-0.1", "1.1", "inf"])
def test_a_target_is_a_sensitivity(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame, target: str
) -> None:
    assert call(tmp_path, predictions, truth, "--metrics", "--target-sensitivity", target).exit_code == 2


def test_a_file_name_that_is_no_text_is_shown_escaped(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    other = tmp_path / "P\udcff.csv"
    predictions[["Study", *FIVE]].assign(model="a").to_csv(other, index=False)
    found = answer(tmp_path, predictions, truth, "--compare", other)
    assert found["comparison"]["predictions"].endswith("P\\udcff.csv")
    assert "P\\udcff.csv: columns passed over" in found["warnings"][0]


def test_logits_rank_as_well_and_say_what_they_lack(
    tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame
) -> None:
    wanted = answer(tmp_path, predictions, truth)
    logits = predictions.copy()
    logits[FIVE] = np.log(logits[FIVE] / (1 - logits[FIVE]))
    found = answer(tmp_path, logits, truth, "--metrics")
    assert found["mean_auroc"] == pytest.approx(wanted["mean_auroc"])
    assert found["metrics"]["macro"]["brier"]["value"] is None
    assert not found["metrics"]["probabilities"]
    assert "they are no probabilities" in call(tmp_path, logits, truth, "--metrics").output.replace("\n", " ")


def test_the_table_has_three_decimals(tmp_path: Path, predictions: pd.DataFrame, truth: pd.DataFrame) -> None:
    predictions.to_csv(tmp_path / "P2.csv", index=False)
    result = call(tmp_path, predictions, truth, "--compare", tmp_path / "P2.csv")
    for value in official(predictions, truth).values():
        assert f"{value:.3f}" in result.output
    assert "Mean of 5 of 5 tasks" in result.output


def test_names_in_no_known_form_are_taken_as_they_stand(tmp_path: Path) -> None:
    truth = "Study,Edema\nb,1\na,0\nc,1\nd,0\n"
    found = answer(tmp_path, "study,edema\na,0.1\nb,0.9\nc,0.3\nd,0.4\n", truth)
    assert found["tasks"]["Edema"]["auroc"] == 0.75
    images = "Path,Edema\nx/a/1.png,0.1\nx/b/1.png,0.9\nx/b/2.png,0.2\nx/c/1.png,0.3\nx/d/1.png,0.4\n"
    assert answer(tmp_path, images, truth.replace("\n", "\nx/").removesuffix("x/"))["mean_auroc"] == 0.75


def test_it_answers_quickly_and_without_torch(tmp_path: Path) -> None:
    """25,000 studies and 1,000 resamples; the limit leaves room for a busy machine."""
    paths = []
    for frame, name in zip(make(1, 1.0, 25_000), ("P.csv", "T.csv"), strict=True):
        frame.to_csv(tmp_path / name, index=False, quoting=csv_module.QUOTE_MINIMAL)
        paths.append(str(tmp_path / name))
    program = (
        "import sys; from fedcxr.cli import main\nsys.argv = ['fedcxr', 'evaluate', '--json']\n"
        f"sys.argv += ['--predictions', {paths[0]!r}, '--truth', {paths[1]!r}]\n"
        "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules and 'pandas' not in sys.modules\n"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 15
    assert json.loads(done.stdout)["bootstrap"] == 1000
