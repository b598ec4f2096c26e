"""The report of a run: its figures are the evaluation's, and its pictures show what they say."""

import json
from pathlib import Path

import numpy as np
import pytest
from chexpert_tables import line, write_csv
from discs import EDEMA, disc_config, disc_valid
from matplotlib.figure import Figure
from PIL import Image

from fedcxr.data.chexpert import ChexpertTable, read_table
from fedcxr.data.labels import BLANK, LABELS
from fedcxr.errors import DataError
from fedcxr.evaluation.competition.sheets import read_scores
from fedcxr.evaluation.inference import embed
from fedcxr.evaluation.metrics import evaluate
from fedcxr.evaluation.studies import StudyScores
from fedcxr.evaluation.validation_set import ValidationSet
from fedcxr.models.registry import create_model
from fedcxr.report.pictures import label_style, picture_title
from fedcxr.report.reliability import draw_reliability
from fedcxr.report.roc import curve, draw_roc
from fedcxr.report.run_report import write_report
from fedcxr.store.run_directory import RunDirectory

COUNT = 40
CONFIG = disc_config()


@pytest.fixture(scope="module")
def valid() -> ValidationSet:
    return disc_valid(COUNT, ("north", "south"))


@pytest.fixture
def table(tmp_path: Path) -> ChexpertTable:
    lines = (line(f"set/valid/patient{k:05d}/study1/view1_frontal.jpg") for k in range(COUNT))
    return read_table(write_csv(tmp_path / "valid.csv", *lines), tmp_path / "set")


def test_the_folder_holds_figures_predictions_and_pictures(
    tmp_path: Path, valid: ValidationSet, table: ChexpertTable, figures: list[Figure]
) -> None:
    run = RunDirectory.create(tmp_path / "run", CONFIG)
    model = create_model(CONFIG.model, seed=0)
    page = write_report(run, model, table, valid, round_number=3)
    folder = run.root / "report"
    assert page == folder / "report.md"
    found = json.loads((folder / "metrics.json").read_text())
    scores = valid.evaluate(valid.predict(model, CONFIG), CONFIG)
    edema = scores.label("Edema")
    assert found["labels"]["Edema"]["auroc"]["value"] == edema.value
    assert found["labels"]["Edema"]["auroc"]["low"] == edema.low
    assert f"{edema.value:.3f}" in page.read_text()
    sheet = read_scores(folder / "predictions.csv")
    written = np.asarray(sheet.values, dtype=np.float32)
    again = evaluate(
        written, valid.labels, valid.studies, valid.patients, bootstrap=CONFIG.evaluation.bootstrap, seed=0
    )
    assert again.label("Edema").value == edema.value
    for name in ("roc.png", "reliability.png", "embedding.png"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 400
            assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 20
        assert f"]({name})" in page.read_text()
    assert not (folder / "learning.png").exists()  # no round is on record
    (embedding,) = (figure for figure in figures if "embedding" in str(figure.get_suptitle()))
    shown = [{str(drawn.get_label()) for drawn in axes.collections} for axes in embedding.axes]
    assert shown == [{"Edema (20)", "other or unknown (20)"}, {"north (20)", "south (20)"}]


def test_a_set_of_one_class_has_no_report(tmp_path: Path, table: ChexpertTable) -> None:
    valid = disc_valid(COUNT)
    valid.labels[:, EDEMA] = 1
    run = RunDirectory.create(tmp_path / "run", CONFIG)
    with pytest.raises(DataError, match="no label has positive and negative"):
        write_report(run, create_model(CONFIG.model, seed=0), table, valid, round_number=0)


def test_the_curve_goes_through_every_threshold() -> None:
    alarms, hits = curve(np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, False, True, False]))
    assert alarms.tolist() == [0, 0, 1, 2]  # the two that tie come together
    assert hits.tolist() == [0, 1, 2, 2]


def test_the_picture_of_the_roc_names_what_it_draws(tmp_path: Path, valid: ValidationSet) -> None:
    scored = valid.score(np.random.default_rng(0).random((COUNT, 14), dtype=np.float32))
    labels = draw_roc(scored, tmp_path / "roc.svg", title="a title")
    assert labels == ("Edema",)
    draw_reliability(scored, tmp_path / "reliability.svg", title="a title")
    for name in ("roc.svg", "reliability.svg"):
        assert "Edema" in (tmp_path / name).read_text()


def test_a_label_has_one_colour_and_dash_whatever_else_is_defined(
    tmp_path: Path, figures: list[Figure]
) -> None:
    assert len({(label_style(label).colour, str(label_style(label).dash)) for label in LABELS}) == len(LABELS)
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, (60, len(LABELS)), dtype=np.int8)
    scores = generator.random((60, len(LABELS)), dtype=np.float32)
    for blank in ((), ("No Finding", "Lung Opacity", "Atelectasis")):
        labels[:, [LABELS.index(label) for label in blank]] = BLANK
        scored = StudyScores(60, scores, labels.copy(), np.arange(60))
        assert len(draw_roc(scored, tmp_path / "roc.png", title="a title")) == len(LABELS) - len(blank)
        for axes in figures[-1].axes:
            drawn = {str(line.get_label()).partition("  ")[0]: line for line in axes.lines}
            for label in set(LABELS) - set(blank):
                assert drawn[label].get_color() == label_style(label).colour


def test_few_cases_have_few_bins_and_points_on_an_axis_are_whole(
    tmp_path: Path, figures: list[Figure]
) -> None:
    generator = np.random.default_rng(0)
    labels = np.zeros((30, len(LABELS)), dtype=np.int8)
    scores = generator.random((30, len(LABELS)), dtype=np.float32)
    draw_reliability(StudyScores(30, scores, labels, np.arange(30)), tmp_path / "r.png", title="a title")
    pooled, *tasks = figures[0].axes
    assert pooled.get_title(loc="left").endswith("over 10 bins, 10 drawn")
    assert len(tasks) == 5
    for axes in tasks:
        assert axes.get_title(loc="left").endswith("over 10 bins, 3 drawn")
        points = axes.lines[1]
        assert np.asarray(points.get_ydata()).tolist() == [0, 0, 0]
        assert not points.get_clip_on()


def test_titles_have_one_form() -> None:
    assert picture_title(CONFIG, 3) == f"{CONFIG.name}, round 3: {CONFIG.model.name}"
    drawn = CONFIG.with_changes({"data.phantom.hospitals": 3})
    assert picture_title(drawn, 3) == f"{CONFIG.name}, round 3: SYNTHETIC X-rays, {CONFIG.model.name}"
    assert picture_title(drawn) == f"{CONFIG.name}: SYNTHETIC X-rays, {CONFIG.model.name}"


def test_an_embedding_is_the_encoders_output(valid: ValidationSet) -> None:
    model = create_model(CONFIG.model, seed=0)
    rows = np.array([4, 1, 9])
    found = embed(model, valid.images, rows, CONFIG)
    logits = found @ model.classifier.weight.detach().numpy().T + model.classifier.bias.detach().numpy()
    expected = valid.predict(model, CONFIG)[rows]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-5)
