"""Every figure against scikit-learn's, its intervals against naive resampling; thresholds never peek."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics as sk
from torchmetrics.functional.classification import binary_calibration_error

from fedcxr.data.labels import BLANK, LABELS
from fedcxr.evaluation.auroc import LARGE, Ranking
from fedcxr.evaluation.calibration import reliability
from fedcxr.evaluation.panel import METRICS, measure_panel
from fedcxr.evaluation.precision import average_precision
from fedcxr.evaluation.studies import StudyScores
from fedcxr.evaluation.thresholds import cross_fit, fit_threshold, fit_thresholds

THREE = ("Edema", "Fracture", "Cardiomegaly")
COLUMNS = [LABELS.index(label) for label in THREE]


def studies(count: int, seed: int = 0, unknown: float = 0.0) -> StudyScores:
    """Two studies a patient; probabilities in steps, so that there are ties."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((count, 14)) < 0.3).astype(np.int8)
    scores = np.clip(0.25 * labels + 0.75 * generator.random((count, 14)), 0, 0.994).round(2)
    labels[generator.random(labels.shape) < unknown] = BLANK
    return StudyScores(count, scores, labels, np.arange(count) // 2)


def by_hand(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Ten bins that each begin at a decile of the scores, case by case; equals are in one bin."""
    ordered = sorted(scores.tolist())
    starts = sorted({ordered[k * len(ordered) // 10] for k in range(1, 10)})
    bins: dict[int, list[int]] = {}
    for case, score in enumerate(scores.tolist()):
        bins.setdefault(sum(start <= score for start in starts), []).append(case)
    gaps = [abs(sum(scores[case] - truth[case] for case in cases)) for cases in bins.values()]
    return float(sum(gaps)) / len(scores)


def by_sklearn(
    truth: NDArray[np.bool_], scores: NDArray[np.float64], said: NDArray[np.bool_]
) -> dict[str, float]:
    return {
        "auroc": sk.roc_auc_score(truth, scores),
        "auprc": sk.average_precision_score(truth, scores),
        "accuracy": sk.accuracy_score(truth, said),
        "f1": sk.f1_score(truth, said),
        "sensitivity": sk.recall_score(truth, said),
        "specificity": sk.recall_score(truth, said, pos_label=False),
        "brier": sk.brier_score_loss(truth, scores),
        "ece_equal_mass": by_hand(truth, scores),
        "ece_equal_width": float(
            binary_calibration_error(torch.from_numpy(scores), torch.from_numpy(truth).int(), n_bins=15)
        ),
    }


def test_every_figure_is_scikit_learns() -> None:
    scored = studies(300)
    thresholds = np.linspace(0.3, 0.6, 14)
    found = measure_panel(scored, THREE, thresholds, resamples=0, seed=0)
    truth, scores = scored.labels[:, COLUMNS] == 1, scored.scores[:, COLUMNS]
    said = scores >= thresholds[COLUMNS]
    expected = [by_sklearn(truth[:, k], scores[:, k], said[:, k]) for k in range(3)]
    for label, own in zip(THREE, expected, strict=True):
        assert {name: found.labels[label][name].value for name in METRICS} == pytest.approx(own, abs=1e-12)
    macro = {name: np.mean([own[name] for own in expected]) for name in METRICS}
    assert {name: found.macro[name].value for name in METRICS} == pytest.approx(macro, abs=1e-12)
    micro = by_sklearn(truth.ravel(), scores.ravel(), said.ravel())
    assert {name: found.micro[name].value for name in METRICS} == pytest.approx(micro, abs=1e-12)
    assert found.multilabel["subset_accuracy"].value == pytest.approx(sk.accuracy_score(truth, said))
    assert found.multilabel["hamming_accuracy"].value == pytest.approx(1 - sk.hamming_loss(truth, said))


def test_many_pairs_are_counted_as_few_are() -> None:
    scored = studies(LARGE // 2)  # one label is counted in all resamples at once, the pool in one at a time
    found = measure_panel(scored, THREE, np.full(14, 0.4), resamples=0, seed=0)
    truth, scores = scored.labels[:, COLUMNS] == 1, scored.scores[:, COLUMNS]
    assert found.micro["auroc"].value == pytest.approx(sk.roc_auc_score(truth.ravel(), scores.ravel()))
    assert found.micro["auprc"].value == pytest.approx(
        sk.average_precision_score(truth.ravel(), scores.ravel())
    )


def test_what_is_unknown_does_not_count() -> None:
    scored = studies(300, unknown=0.3)
    found = measure_panel(scored, THREE, np.full(14, 0.4), resamples=0, seed=0)
    for label, column in zip(THREE, COLUMNS, strict=True):
        rows, positive = scored.known(column)
        scores = scored.scores[rows, column]
        own = by_sklearn(positive, scores, scores >= 0.4)
        assert {name: found.labels[label][name].value for name in METRICS} == pytest.approx(own, abs=1e-12)


def test_an_interval_is_that_of_patients_drawn_one_by_one() -> None:
    scored = studies(120)
    thresholds = np.full(14, 0.4)
    found = measure_panel(scored, THREE, thresholds, resamples=300, seed=9)
    generator = np.random.default_rng(9)
    fixed = [name for name in METRICS if name != "ece_equal_mass"]  # whose bins are those of the whole
    drawn = []
    for chosen in generator.integers(0, 60, (300, 60)):
        rows = np.concatenate([np.flatnonzero(scored.patients == patient) for patient in chosen])
        truth, scores = scored.labels[rows, COLUMNS[0]] == 1, scored.scores[rows, COLUMNS[0]]
        own = by_sklearn(truth, scores, scores >= 0.4)
        drawn.append([own[name] for name in fixed])
    for name, values in zip(fixed, np.array(drawn).T, strict=True):
        estimate = found.labels["Edema"][name]
        assert (estimate.low, estimate.high) == pytest.approx(np.quantile(values, (0.025, 0.975)), abs=1e-12)


def test_scores_that_are_no_probabilities_have_neither_brier_nor_calibration() -> None:
    scored = studies(80)
    logits = StudyScores(80, 20 * scored.scores - 10, scored.labels, scored.patients)
    found = measure_panel(logits, THREE, fit_thresholds(logits), resamples=0, seed=0)
    assert not found.probabilities
    assert (found.macro["brier"].value, found.micro["ece_equal_mass"].value) == (None, None)
    ranked = measure_panel(scored, THREE, fit_thresholds(scored), resamples=0, seed=0)
    for name in METRICS[:6]:
        assert found.macro[name].value == pytest.approx(ranked.macro[name].value)


def test_average_precision_takes_weights_as_copies() -> None:
    generator = np.random.default_rng(2)
    scores, positive = generator.integers(0, 9, 60) / 9, generator.random(60) < 0.4
    weights = generator.integers(0, 4, (60, 5)).astype(np.int32)
    found = average_precision(Ranking.of(scores, positive), weights)
    for value, counts in zip(found, weights.T, strict=True):
        copied = np.repeat(positive, counts), np.repeat(scores, counts)
        assert value == pytest.approx(sk.average_precision_score(*copied), abs=1e-12)
    for one_class in (np.ones(60, dtype=bool), np.zeros(60, dtype=bool)):
        assert np.isnan(average_precision(Ranking.of(scores, one_class), weights)).all()
    assert np.isnan(average_precision(Ranking.of(scores[:0], positive[:0]), weights[:0])).all()
    weights[positive] = 0  # a class is there, and was not drawn
    assert np.isnan(average_precision(Ranking.of(scores, positive), weights)).all()


def test_youdens_threshold_is_the_best_of_all() -> None:
    generator = np.random.default_rng(4)
    positive = generator.random(200) < 0.3
    scores = generator.normal(size=200) + positive
    fitted = fit_threshold(scores, positive)

    def index(threshold: float) -> float:
        said = scores >= threshold
        return float(said[positive].mean() - said[~positive].mean())

    assert index(fitted) == pytest.approx(max(map(index, scores)))
    assert fitted not in scores  # between two of them


def test_a_target_is_reached_at_the_highest_threshold_that_does() -> None:
    generator = np.random.default_rng(5)
    positive = generator.random(200) < 0.3
    scores = generator.normal(size=200) + positive
    fitted = fit_threshold(scores, positive, target=0.9)
    assert (scores[positive] >= fitted).mean() >= 0.9
    higher = scores[scores >= fitted].min() + 1e-9
    assert (scores[positive] >= higher).mean() < 0.9
    assert np.isnan(fit_threshold(scores, np.zeros(200, dtype=bool)))


def test_a_threshold_is_between_scores_however_large() -> None:
    scores, positive = np.array([1.6e308, 1.7e308]), np.array([False, True])
    assert 1.6e308 < fit_threshold(scores, positive) < 1.7e308


def test_a_patients_own_labels_decide_nothing_of_its_thresholds() -> None:
    scored = studies(100)
    first = cross_fit(scored, seed=3)
    turned = scored.labels.copy()
    turned[:2] = 1 - turned[:2]  # the two studies of one patient
    second = cross_fit(StudyScores(100, scored.scores, turned, scored.patients), seed=3)
    assert (first[:2] == second[:2]).all()
    assert (first != second).any()
    assert (first[0] == first[1]).all()
    assert len(np.unique(first[:, COLUMNS[0]])) <= 5


def test_thresholds_that_nothing_can_be_fitted_on_leave_their_figures_undefined() -> None:
    scored = studies(60)
    scored.labels[:, COLUMNS[1]] = 0
    scored.labels[7, COLUMNS[1]] = 1
    found = measure_panel(scored, THREE, cross_fit(scored, seed=0), resamples=0, seed=0)
    assert found.labels["Fracture"]["auroc"].value is not None
    assert found.labels["Fracture"]["sensitivity"].value is None  # its fold's thresholds never saw a positive
    assert found.labels["Edema"]["sensitivity"].value is not None


def test_bins_have_equal_mass_and_equals_share_one() -> None:
    probabilities = np.concatenate([np.zeros(70), np.linspace(0.1, 1, 30)])
    diagram = reliability(probabilities, probabilities > 0.5)
    assert diagram.cases.sum() == 100
    assert diagram.cases[0] == 70
    even = reliability(np.linspace(0, 1, 1000), np.arange(1000) % 2 == 0)
    assert (even.cases == 100).all()
    assert even.error == pytest.approx(0.25, abs=0.01)
    assert np.isnan(reliability(probabilities[:0], np.zeros(0, dtype=bool)).error)


def test_a_label_that_some_folds_lack_a_class_of_has_no_threshold_figures() -> None:
    """Two positives of one patient: its fold could not be decided, and the rest holds no case."""
    generator = np.random.default_rng(0)
    scores, labels = generator.random((30, 14)), np.zeros((30, 14), dtype=np.int8)
    labels[:2, 0] = 1
    labels[:10, 1] = 1
    patients = np.maximum(np.arange(30), 1)
    scored = StudyScores(30, scores, labels, patients)
    thresholds = cross_fit(scored, seed=0)
    assert np.isnan(thresholds[:, 0]).all()
    assert not np.isnan(thresholds[:, 1]).any()
    found = measure_panel(scored, [LABELS[0], LABELS[1]], thresholds, resamples=50, seed=0)
    for metric in ("accuracy", "f1", "sensitivity", "specificity"):
        assert found.labels[LABELS[0]][metric].value is None
        assert found.macro[metric].value == found.labels[LABELS[1]][metric].value
    assert found.labels[LABELS[0]]["auroc"].value is not None
