"""How many hospitals a label must have, and what a round's configuration says of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clients.rare_labels import labels_of
from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.data.labels import LABELS as NAMES
from fedcxr.errors import ConfigError, LayoutError
from fedcxr.masked_rounds.rare_labels import bits_of, movers_asked, withheld_labels
from fedcxr.privacy.secagg.parameters import RoundNumbers
from fedcxr.run.preparation import open_or_create
from fedcxr.update.round_config import RareLabels, RoundConfig, StatedLabels

ROUND = RoundConfig(1, "ab", "cd", "ef", (1, -2))
RARE = RareLabels((StatedLabels(0, "0xAb", 0b101, b"s" * 65), StatedLabels(3, "0xCd", 1, b"t" * 65)), (2, 13))


@pytest.mark.parametrize(
    ("participants", "hospitals", "asked"),
    [
        (3, 3, 3),
        (4, 4, 3),
        (5, 5, 4),
        (6, 6, 4),
        (7, 7, 5),
        (10, 10, 7),
        (20, 20, 14),
        (50, 50, 34),
        (7, 10, 6),
    ],
)
def test_three_movers_two_of_them_honest_are_left_whoever_is_missing(
    participants: int, hospitals: int, asked: int
) -> None:
    numbers = RoundNumbers.of(participants, hospitals, 3_400)
    assert movers_asked(numbers) == asked
    left = asked - numbers.missing
    assert left >= 3
    assert left - numbers.colluders >= 2
    stated = [bits_of([0, 5])] * asked + [bits_of([0])] * (participants - asked)
    assert withheld_labels(numbers, stated) == tuple(label for label in range(14) if label not in (0, 5))
    assert 5 in withheld_labels(numbers, [*stated[1:], 0])


def test_a_round_without_the_rule_has_the_bytes_that_it_had() -> None:
    said = {"config": "ab", "exponents": [1, -2], "layout": "cd", "partition": "ef", "round": 1}
    assert json.loads(ROUND.to_bytes()) == said
    assert RoundConfig.from_bytes(ROUND.to_bytes()) == ROUND


def test_a_round_with_the_rule_is_read_back() -> None:
    config = replace(ROUND, rare=RARE)
    assert RoundConfig.from_bytes(config.to_bytes()) == config
    assert config.digest != ROUND.digest
    assert config.scale_digest == ROUND.digest


@pytest.mark.parametrize(
    "change",
    [
        {"withheld": [14]},
        {"withheld": [-1]},
        {"withheld": [True]},
        {"withheld": ["2"]},
        {"withheld": 3},
        {"withheld": None},
        {"labels": [[0, "0xAb", 1 << 14, "00"]]},
        {"labels": [[0, "0xAb", -1, "00"]]},
        {"labels": [[0, "0xAb", 1.0, "00"]]},
        {"labels": [[True, "0xAb", 1, "00"]]},
        {"labels": [[-1, "0xAb", 1, "00"]]},
        {"labels": [[1 << 16, "0xAb", 1, "00"]]},
        {"labels": [[0, 7, 1, "00"]]},
        {"labels": [[0, "0xAb", 1, 7]]},
        {"labels": [[0, "0xAb", 1, "0"]]},
        {"labels": [[0, "0xAb", 1, "AB"]]},
        {"labels": [[0, "0xAb", 1]]},
        {"labels": [7]},
        {"labels": {}},
        {"labels": None},
    ],
)
def test_what_is_no_list_of_labels_is_no_configuration(change: dict[str, object]) -> None:
    tree = json.loads(replace(ROUND, rare=RARE).to_bytes()) | change
    with pytest.raises(LayoutError):
        RoundConfig.from_bytes(json.dumps(tree).encode())


@pytest.mark.parametrize("missing", ["labels", "withheld"])
def test_half_of_it_is_none(missing: str) -> None:
    tree = json.loads(replace(ROUND, rare=RARE).to_bytes())
    del tree[missing]
    with pytest.raises(LayoutError):
        RoundConfig.from_bytes(json.dumps(tree).encode())


def examples(known: dict[str, float]) -> Examples:
    """One image of which this is known."""
    targets, mask = np.zeros((1, 14), np.float32), np.zeros((1, 14), np.bool_)
    for name, value in known.items():
        targets[0, NAMES.index(name)], mask[0, NAMES.index(name)] = value, True
    return Examples(np.zeros((1, 32, 32), np.uint8), np.zeros(1, np.int64), targets, mask)


def named(*names: str) -> int:
    return bits_of(NAMES.index(name) for name in names)


def test_a_hospital_has_the_labels_that_its_images_speak_of(small_config: Config) -> None:
    flat = small_config.with_changes({"model.labels": "flat"})
    assert labels_of(examples({"Edema": 0.0, "Fracture": 1.0}), flat) == named("Edema", "Fracture")


def test_where_labels_are_conditional_a_parent_decides(small_config: Config) -> None:
    tree = small_config.with_changes({"model.labels": "conditional"})
    assert labels_of(examples({"Edema": 1.0}), tree) == named("Edema", "Lung Opacity")
    assert labels_of(examples({"Edema": 0.0, "Lung Opacity": 0.0}), tree) == named("Lung Opacity")


def test_a_masked_federation_withholds_unless_it_says_otherwise(small_config: Config, tmp_path: Path) -> None:
    masked = small_config.with_changes(
        {"privacy.envelope": "masked", "privacy.auditor": False, "federation.min_hospitals": 3}
    )
    assert open_or_create(tmp_path / "sealed", small_config).config == small_config
    made = open_or_create(tmp_path / "masked", masked)
    assert made.config.federation.rare_labels == "withhold"
    assert open_or_create(made.root, masked).config == made.config, "the same file goes on with the run"
    say = masked.with_changes({"federation.rare_labels": "say"})
    assert open_or_create(tmp_path / "say", say).config.federation.rare_labels == "say"
    assert not masked.federation.withholds, "one that was founded before there was the key"


@pytest.mark.parametrize("change", [{"ledger.backend": "off"}, {"federation.min_hospitals": 2}])
def test_the_rule_wants_a_ledger_and_three_hospitals(small_config: Config, change: dict[str, object]) -> None:
    good = {"federation.rare_labels": "withhold", "federation.min_hospitals": 3}
    assert small_config.with_changes(good).federation.withholds
    with pytest.raises(ConfigError, match="rare_labels = 'withhold' wants"):
        small_config.with_changes(good | change)
