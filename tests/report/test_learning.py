"""Learning curves: a line a hospital, through what it reported round by round."""

from pathlib import Path

import numpy as np
import pytest
from chexpert_tables import line as table_line
from chexpert_tables import write_csv
from discs import disc_config, disc_valid
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fedcxr.data.chexpert import read_table
from fedcxr.evaluation.scores import Evaluation, MeanScore, Scores
from fedcxr.models.registry import create_model
from fedcxr.report.learning import draw_learning
from fedcxr.report.run_report import write_report
from fedcxr.round_lines import HospitalLine, RoundLine
from fedcxr.store.run_directory import RunDirectory

NAN = float("nan")


def mean(value: float | None) -> MeanScore:
    return MeanScore(value=value, labels=(), of=14)


def record(number: int, losses: dict[str, float], areas: dict[str, float | None] | None) -> RoundLine:
    """A round of which nothing is said but losses and own AUROCs; None: it was not evaluated."""
    hospitals = {
        name: HospitalLine(images=4, passes=8, seconds=1.0, loss=loss, saturated=0)
        for name, loss in losses.items()
    }
    evaluation = None
    if areas is not None:
        scores = {name: Scores(4, 4, (), mean(0.1), mean(area)) for name, area in areas.items()}
        evaluation = Evaluation(4, 4, (), mean(0.2), mean(0.3), hospitals=scores)
    return RoundLine(
        round=number,
        model="00",
        seconds=None,
        ledger_seconds=None,
        verify_seconds=None,
        bytes_up=None,
        bytes_down=None,
        gas=None,
        included=(),
        excluded={},
        hospitals=hospitals,
        evaluation=evaluation,
    )


THREE = (
    record(1, {"north": 0.9, "south": 0.8}, {"north": 0.55, "south": None}),
    record(2, {"north": 0.7}, None),  # the south did not come, and nobody scored
    record(3, {"north": 0.5, "south": 0.6}, {"north": 0.75, "south": 0.65}),
)
LOSSES = {"north": [0.9, 0.7, 0.5], "south": [0.8, NAN, 0.6]}
AREAS = {"north": [0.55, NAN, 0.75], "south": [NAN, NAN, 0.65]}


def lines(axes: Axes) -> dict[str, Line2D]:
    """By hospital, without the line of chance, which has no name."""
    return {
        str(drawn.get_label()): drawn
        for drawn in axes.get_lines()
        if not str(drawn.get_label()).startswith("_")
    }


def assert_three(figure: Figure) -> None:
    loss, area = figure.axes
    assert "loss" in loss.get_title(loc="left")
    assert "AUROC" in area.get_title(loc="left")
    for axes, expected in ((loss, LOSSES), (area, AREAS)):
        drawn = lines(axes)
        assert drawn.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(drawn[name].get_xdata(), [1, 2, 3])
            np.testing.assert_array_equal(drawn[name].get_ydata(), values)
            assert drawn[name].get_marker() == "o"  # a round between two that are missing is seen, too
    colours = [{name: drawn.get_color() for name, drawn in lines(axes).items()} for axes in (loss, area)]
    assert colours[0] == colours[1]
    assert colours[0]["north"] != colours[0]["south"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["north", "south"]


def test_each_hospital_has_one_line_with_the_values_of_its_rounds(
    tmp_path: Path, figures: list[Figure]
) -> None:
    draw_learning(THREE, tmp_path / "learning.png", title="a title")
    (figure,) = figures
    assert_three(figure)
    assert (tmp_path / "learning.png").stat().st_size > 0


def test_the_report_draws_the_rounds_on_record(tmp_path: Path, figures: list[Figure]) -> None:
    config = disc_config({"evaluation.bootstrap": 0})
    run = RunDirectory.create(tmp_path / "run", config)
    for each in THREE:
        run.metrics.put(each.to_tree())
    rows = (table_line(f"set/valid/patient{k:05d}/study1/view1_frontal.jpg") for k in range(8))
    table = read_table(write_csv(tmp_path / "valid.csv", *rows), tmp_path / "set")
    page = write_report(run, create_model(config.model, seed=0), table, disc_valid(8), round_number=3)
    (learning,) = (figure for figure in figures if "learning" in str(figure.get_suptitle()))
    assert_three(learning)
    assert "](learning.png)" in page.read_text()
    assert (run.root / "report" / "learning.png").is_file()


def test_many_hospitals_are_grey_with_their_median(tmp_path: Path, figures: list[Figure]) -> None:
    names = [f"h{k:02d}" for k in range(12)]
    falling = [
        record(number, {name: (k + 1) ** 2 / number for k, name in enumerate(names)}, None)
        for number in (1, 2)
    ]
    draw_learning(falling, tmp_path / "learning.png", title="a title")
    loss, area = figures[0].axes
    assert lines(loss).keys() == {"median of 12 hospitals"}
    np.testing.assert_allclose(lines(loss)["median of 12 hospitals"].get_ydata(), [42.5, 21.25])
    grey = [drawn for drawn in loss.get_lines() if str(drawn.get_label()).startswith("_")]
    assert [list(drawn.get_ydata()) for drawn in grey] == [
        pytest.approx([(k + 1) ** 2, (k + 1) ** 2 / 2]) for k in range(12)
    ]
    assert len({drawn.get_color() for drawn in grey}) == 1
    assert np.isnan(lines(area)["median of 12 hospitals"].get_ydata()).all()
