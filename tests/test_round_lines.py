"""A round's line is written as it always was, and read back with nothing lost."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from fedcxr.config import Config
from fedcxr.errors import StoreError
from fedcxr.evaluation.scores import Evaluation, LabelScore, MeanScore, Scores
from fedcxr.round_lines import FaultyLine, HospitalLine, RoundLine, parse_line, read_rounds, write_round
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update.metrics import HospitalMetrics

# Two lines as an earlier fedcxr wrote them: one with all that a round can have, and one of a coordinator that
# died before it wrote down more than follows from the ledger.
MEASURED, COMPLETED = (Path(__file__).parent / "fixtures" / "round_lines.jsonl").read_text().splitlines()
METRICS = HospitalMetrics(
    salt="00112233445566778899aabbccddeeff",
    images=4,
    passes=8,
    steps=2,
    seconds=1.5,
    protect_seconds=0.125,
    loss=0.75,
    terms={"bce": 0.5, "ntxent": 1e-7},
    saturated=0,
)
LABELS = (
    LabelScore(
        value=0.1 + 0.2,
        low=0.0,
        high=1.0,
        resamples=20,
        label="Edema",
        positives=3,
        negatives=4,
        positive_patients=2,
        negative_patients=4,
    ),
    LabelScore(label="Fracture", positives=0, negatives=7, positive_patients=0, negative_patients=6),
)
MEAN = MeanScore(value=0.5, labels=("Edema",), of=5)
LINE = RoundLine(
    round=1,
    model="ab",
    seconds=2.5,
    ledger_seconds=0.25,
    verify_seconds=1e-05,
    bytes_up=2**40,
    bytes_down=20,
    gas={"deploy": 7, "finalize": 0},
    included=("0x01", "0x02"),
    excluded={"0x03": 'no "key"'},
    hospitals={
        "Zürich": HospitalLine.of("0x01", METRICS),
        "0x02": HospitalLine.of("0x02", METRICS),
    },
    evaluation=Evaluation(7, 7, LABELS, MEAN, MEAN, 20, {"Zürich": Scores(7, 7, LABELS, MEAN, MEAN)}),
)
REST = RoundLine(round=2, model="cd", included=("0x01",))


@pytest.fixture
def run(tmp_path: Path, small_config: Config) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", small_config)


def test_a_line_has_the_bytes_that_it_always_had(run: RunDirectory) -> None:
    write_round(run, LINE)
    write_round(run, REST)
    assert run.metrics.path.read_text() == f"{MEASURED}\n{COMPLETED}\n"
    assert read_rounds(run) == (LINE, REST)


TIMES = {
    "parts": {"waiting": 8.0, "ledger": 2.0},
    "work": {"training": 4.0, "protecting": 2.0, "checking": 1.0},
}


def test_a_line_keeps_where_the_time_went(run: RunDirectory) -> None:
    timed = LINE.model_copy(update=TIMES)
    write_round(run, timed)
    assert read_rounds(run) == (timed,)


def test_the_time_of_waiting_is_the_hospitals_time() -> None:
    one_at_a_time = REST.model_copy(update=TIMES)
    assert one_at_a_time.shares == pytest.approx(
        {"training": 0.4, "protecting": 0.2, "ledger": 0.2, "checking": 0.1, "waiting": 0.1}
    )
    assert list(one_at_a_time.shares.values()) == sorted(one_at_a_time.shares.values(), reverse=True)
    doubled = {part: 4 * seconds for part, seconds in TIMES["work"].items()}
    at_once = REST.model_copy(update=TIMES | {"work": doubled})
    assert at_once.shares == pytest.approx(
        {"training": 32 / 70, "protecting": 16 / 70, "checking": 8 / 70, "ledger": 0.2}
    )
    assert REST.shares == {}


def test_a_line_that_is_repeated_replaces_the_one_before_and_leaves_the_others_their_bytes(
    run: RunDirectory,
) -> None:
    """One that lacks what came later, and one with more than this version knows, in any order of its keys."""
    short, long = '{"model": "ab", "round": 1}', COMPLETED.replace("{", '{"later": {"a": 1}, ', 1)
    run.metrics.path.write_text(f"{short}\n{long}\n")
    write_round(run, REST.model_copy(update={"round": 3}))
    write_round(run, REST.model_copy(update={"round": 3, "model": "ef"}))
    first, second, *more = run.metrics.path.read_text().splitlines()
    assert (first, second) == (short, long)
    assert [json.loads(text)["model"] for text in more] == ["ef"]


def test_what_a_later_version_wrote_of_a_hospital_is_kept() -> None:
    tree = json.loads(MEASURED)
    tree["hospitals"]["Zürich"]["later"] = [1]
    tree["later"] = {"a": 1}
    assert json.loads(json.dumps(RoundLine.from_tree(tree, "here").to_tree())) == tree


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bytes_up", "many"),
        ("bytes_up", -1),
        ("bytes_up", 2**63),
        ("bytes_up", 10**70),
        ("seconds", True),
        ("seconds", math.nan),
        ("included", "0x01"),
        ("hospitals", {"north": {"images": 1.5}}),
        ("evaluation", {"images": 1}),
        ("gas", {"deploy": "7"}),
    ],
)
def test_a_field_that_is_none_of_a_rounds_is_named(run: RunDirectory, key: str, value: object) -> None:
    text = json.dumps({**json.loads(MEASURED), key: value}, allow_nan=True)
    run.metrics.path.write_text(text + "\n")
    with pytest.raises(StoreError, match=rf"metrics\.jsonl, line 1: {key}"):
        read_rounds(run)
    faulty = parse_line(text.encode())
    assert isinstance(faulty, FaultyLine)
    assert (faulty.round, faulty.field.partition(".")[0]) == (1, key)


MORE_DIGITS = f'{{"round": 1, "model": "ab", "seconds": {10**400}}}'


@pytest.mark.parametrize(
    "text",
    [
        MEASURED[:-40],
        "",
        "null",
        "[1]",
        "{}",
        '{"round": 1e999}',
        '{"round": null}',
        "[" * 100_000,
        "\xff",
        MORE_DIGITS,
    ],
    ids=["cut", "empty", "null", "list", "no round", "endless", "null round", "deep", "not UTF-8", "digits"],
)
def test_a_line_that_names_no_round_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_line(text.encode("latin-1", "replace"))


def test_a_number_that_is_none_is_never_written(run: RunDirectory) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        run.metrics.put({"round": 1, "seconds": math.inf})
    assert run.metrics.read() == []
