"""The comparison: one set of resamples for all models, and means over hospitals' own models."""

import numpy as np
import pytest
from discs import EDEMA, disc_config, disc_valid
from numpy.typing import NDArray

from fedcxr.errors import DataError
from fedcxr.evaluation.comparison import Comparison, Contender, Kind, compare

CONFIG = disc_config({"evaluation.bootstrap": 200})
VALID = disc_valid(120, ("north", "south"))


def answers(skill: float, seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).random((120, 14))
    return (skill * (VALID.labels[:, EDEMA] == 1)[:, None] + (1 - skill) * noise).astype(np.float32)


def contender(kind: Kind, name: str, skill: float, seed: int, images: int = 10) -> Contender:
    return Contender(kind, name, images, 3 * images, answers(skill, seed))


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    contenders = [
        contender(Kind.FEDERATED, "federated", 0.4, 0, 40),
        contender(Kind.POOLED, "pooled", 0.45, 1, 40),
        contender(Kind.ALONE, "north", 0.3, 2, 30),
        contender(Kind.ALONE, "south", 0.1, 3, 10),
    ]
    return compare(contenders, VALID, CONFIG, failed={"west": "1 images"})


def test_a_row_is_the_evaluation_of_its_model(comparison: Comparison) -> None:
    assert comparison.rows[0].evaluation == VALID.evaluate(answers(0.4, 0), CONFIG)
    north = comparison.of_kind(Kind.ALONE)[0]
    assert (north.name, north.images, north.passes) == ("north", 30, 90)
    assert set(north.evaluation.hospitals) == {"north", "south"}


def test_means_over_hospitals_are_weighted_by_their_images(comparison: Comparison) -> None:
    north, south = (row.evaluation.labels[EDEMA].value for row in comparison.of_kind(Kind.ALONE))
    assert north is not None
    assert south is not None
    (plain,) = comparison.of_kind(Kind.ALONE_UNIFORM)
    (weighted,) = comparison.of_kind(Kind.ALONE_BY_IMAGES)
    assert plain.evaluation.labels[EDEMA].value == pytest.approx((north + south) / 2)
    assert weighted.evaluation.labels[EDEMA].value == pytest.approx((3 * north + south) / 4)
    assert (weighted.images, weighted.passes) == (40, 120)
    assert weighted.evaluation.macro.low is not None
    assert weighted.evaluation.labels[EDEMA].positives == 60


def test_differences_are_paired(comparison: Comparison) -> None:
    federated, pooled = comparison.rows[:2]
    assert federated.macro_gain.value == 0.0
    assert (federated.macro_gain.low, federated.macro_gain.high) == (0.0, 0.0)
    assert pooled.evaluation.macro.value is not None
    assert federated.evaluation.macro.value is not None
    assert pooled.macro_gain.value == pytest.approx(
        pooled.evaluation.macro.value - federated.evaluation.macro.value
    )


def test_a_difference_between_like_models_is_narrower_than_either(comparison: Comparison) -> None:
    first = answers(0.4, 0)
    like = first + 0.02 * answers(0.4, 9)
    found = compare(
        [Contender(Kind.FEDERATED, "federated", 1, 1, first), Contender(Kind.POOLED, "pooled", 1, 1, like)],
        VALID,
        CONFIG,
    )
    gain, macro = found.rows[1].macro_gain, found.rows[1].evaluation.macro
    assert gain.low is not None
    assert gain.high is not None
    assert macro.low is not None
    assert macro.high is not None
    assert gain.high - gain.low < (macro.high - macro.low) / 4


def test_json_reads_back_equal(comparison: Comparison) -> None:
    assert Comparison.from_json(comparison.to_json()) == comparison
    assert "NaN" not in comparison.to_json()
    with pytest.raises(DataError, match=r"not a comparison: rounds"):
        Comparison.from_json(comparison.to_json().replace('"rounds": 3', '"rounds": "many"'))


def test_a_comparison_begins_with_the_federation() -> None:
    with pytest.raises(DataError, match="begins with the federated"):
        compare([contender(Kind.POOLED, "pooled", 0.5, 0)], VALID, CONFIG)
