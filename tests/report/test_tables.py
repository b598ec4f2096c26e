"""Tables of evaluations and comparisons, for a terminal and for a file."""

import io
from dataclasses import replace

import numpy as np
import pytest
from discs import disc_config, disc_valid
from rich.console import Console

from fedcxr.data.labels import BLANK, LABELS
from fedcxr.evaluation.comparison import Comparison, Contender, Kind, compare
from fedcxr.evaluation.metrics import Evaluation, evaluate
from fedcxr.evaluation.robustness import Robustness
from fedcxr.evaluation.scores import Estimate
from fedcxr.experiments.sites import SiteResult, site_table
from fedcxr.report.comparison_table import comparison_table, own_table
from fedcxr.report.robustness import robustness_table
from fedcxr.report.scores import hospital_table, label_table
from fedcxr.report.tables import Table, figure


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    generator = np.random.default_rng(0)
    labels = (generator.random((90, 14)) < 0.3).astype(np.int8)
    probabilities = (0.3 * labels + 0.7 * generator.random((90, 14))).astype(np.float32)
    labels[:, LABELS.index("Edema")] = 0
    labels[:, LABELS.index("Fracture")] = BLANK
    labels[:, LABELS.index("Pneumonia")] = np.arange(90) == 3
    hospitals = {"north": np.arange(60), "south": np.arange(60, 90), "west": np.arange(0)}
    return evaluate(
        probabilities, labels, np.arange(90), np.arange(90), hospitals=hospitals, bootstrap=100, seed=0
    )


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    config, valid = disc_config(), disc_valid(60, ("north", "south"))
    generator = np.random.default_rng(1)

    def contender(kind: Kind, name: str, images: int) -> Contender:
        return Contender(kind, name, images, 6 * images, generator.random((60, 14), dtype=np.float32))

    contenders = [contender(Kind.FEDERATED, "federated", 3000), contender(Kind.POOLED, "pooled", 3000)]
    contenders += [contender(Kind.ALONE, "north", 2000), contender(Kind.ALONE, "south", 1000)]
    return compare(contenders, valid, config, failed={"west": "1 images"})


def cells(table: Table, first: str) -> tuple[str, ...]:
    return next(row for row in table.rows if row[0] == first)


def rendered(table: Table, width: int = 250) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_figure_is_shown_with_its_interval() -> None:
    assert figure(Estimate(value=0.7126, low=0.69, high=0.7351)) == "0.713 [0.690, 0.735]"
    assert figure(Estimate(value=0.5)) == "0.500"
    assert figure(Estimate()) == "undefined"
    assert figure(Estimate(value=-0.01, low=-0.02, high=0.0), signed=True) == "-0.010 [-0.020, +0.000]"


def test_undefined_labels_are_words_with_their_reason(evaluation: Evaluation) -> None:
    table = label_table(evaluation)
    assert cells(table, "Edema *") == ("Edema *", "undefined: no positive study", "0", "90")
    assert cells(table, "Fracture")[1:] == ("undefined: no study with this label known", "0", "0")
    for text in (table.markdown(), rendered(table)):
        assert "nan" not in text.lower().replace("finding", "")
        assert "None" not in text


def test_means_say_over_how_many_they_go(evaluation: Evaluation) -> None:
    table = label_table(evaluation)
    assert cells(table, "Mean of 4 of 5 competition tasks *")[1] == figure(evaluation.competition)
    assert cells(table, "Mean of 12 of 14 labels")[1] == figure(evaluation.macro)


def test_resamples_that_do_not_count_are_told(evaluation: Evaluation) -> None:
    (note,) = [note for note in label_table(evaluation).notes if "resamples" in note]
    assert f" {evaluation.label('Pneumonia').resamples} counted for Pneumonia, " in note
    assert "Cardiomegaly" not in note


def test_figures_from_a_handful_of_positives_are_marked(evaluation: Evaluation) -> None:
    table = label_table(evaluation)
    assert cells(table, "Pneumonia")[1].endswith("] †")  # one positive study
    assert not cells(table, "Cardiomegaly *")[1].endswith("†")
    assert any(note.startswith("† Fewer than 10") for note in table.notes)


def test_a_handful_of_patients_is_one_however_many_studies_they_have() -> None:
    generator = np.random.default_rng(0)
    labels, patients = np.zeros((112, 14), dtype=np.int8), np.arange(112)
    labels[:12] = 1
    patients[:12] = 0
    probabilities = generator.random((112, 14)).astype(np.float32)
    found = evaluate(probabilities, labels, np.arange(112), patients, bootstrap=100, seed=0)
    score = found.label("Edema")
    assert (score.positives, score.positive_patients, score.negative_patients) == (12, 1, 100)
    assert cells(label_table(found), "Edema *")[1].endswith("] †")


def test_hospitals_have_their_own_studies_and_an_empty_one_has_no_figure(evaluation: Evaluation) -> None:
    table = hospital_table(evaluation)
    assert [row[:2] for row in table.rows] == [("north", "60"), ("south", "30"), ("west", "0"), ("all", "90")]
    assert cells(table, "west")[2:4] == ("undefined (0)", "undefined (0)")


def test_the_comparison_has_a_row_a_model_and_states_the_budget(comparison: Comparison) -> None:
    table = comparison_table(comparison)
    assert [row[:3] for row in table.rows] == [
        ("federated", "3,000", "18,000"),
        ("pooled", "3,000", "18,000"),
        ("north alone", "2,000", "12,000"),
        ("south alone", "1,000", "6,000"),
        ("alone, mean by images", "3,000", "18,000"),
        ("alone, plain mean", "3,000", "18,000"),
    ]
    assert cells(table, "federated")[4] == ""
    assert cells(table, "pooled")[4][0] in "+-"
    assert any("3 rounds of 1 local epoch," in note for note in table.notes)
    assert "west could not be trained alone: 1 images" in table.notes


def test_at_home_each_hospitals_model_meets_its_own_studies(comparison: Comparison) -> None:
    table = own_table(comparison)
    north = comparison.of_kind(Kind.ALONE)[0].evaluation.hospitals["north"]
    federated = comparison.rows[0].evaluation.hospitals["north"]
    assert cells(table, "north")[:5] == ("north", "30", "1", figure(north.macro), figure(federated.macro))
    values = [row.evaluation.hospitals[row.name].macro.value for row in comparison.of_kind(Kind.ALONE)]
    weighted = sum(w * v for w, v in zip((2 / 3, 1 / 3), values, strict=True) if v is not None)
    assert cells(table, "mean by images (2)")[3] == f"{weighted:.3f}"


def test_markdown_has_one_line_a_row_whatever_a_name_holds() -> None:
    table = Table("a|b", ("hospital", "n"), (("x|y\nz", "1"), ("[red]w[/red]", "2")), ("a note",))
    assert table.markdown().splitlines() == [
        "**a\\|b**",
        "",
        "| hospital | n |",
        "| --- | ---: |",
        "| x\\|y\\nz | 1 |",
        "| [red]w[/red] | 2 |",
        "",
        "a note",
    ]
    assert "[red]w[/red]" in rendered(table)


def test_no_figure_is_cut_in_a_terminal_of_eighty_columns(
    evaluation: Evaluation, comparison: Comparison
) -> None:
    tables = (comparison_table(comparison), own_table(comparison), hospital_table(evaluation))
    for table in (*tables, label_table(evaluation)):
        text = rendered(table, width=80)
        assert "…" not in text
        for row in table.rows:
            for cell in row[1:]:
                assert all(part in text for part in cell.split())


def test_a_file_has_all_columns(comparison: Comparison) -> None:
    header = comparison_table(comparison).markdown().splitlines()[2]
    assert header.endswith("| Atelectasis | Cardiomegaly | Consolidation | Edema | Pleural Effusion |")
    assert "| image passes | mean of 1 labels |" in header


def test_a_mean_over_sites_or_corruptions_says_how_many_resamples_counted(evaluation: Evaluation) -> None:
    assert 0 < evaluation.macro.resamples < 100
    counted = f"{evaluation.macro.resamples}"
    note = site_table({"north": SiteResult(evaluation, evaluation, "0" * 64)}, title="t").notes[-1]
    assert f"Of 100 resamples {counted} counted for north's unseen mean, " in note
    assert f", {counted} for north's seen mean." in note
    found = Robustness(90, 90, 100, evaluation.macro, evaluation.competition, (), Estimate())
    assert f"Of 100 resamples {counted} counted for a mean." in robustness_table(found, "model").notes[-1]
    assert robustness_table(replace(found, bootstrap=0), "model").notes[-1].startswith("No intervals")
