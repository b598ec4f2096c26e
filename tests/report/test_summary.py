"""The summary of a run directory, its picture, and what it says of damaged files."""

import json
from pathlib import Path

import numpy as np
import pytest
from discs import disc_config, disc_valid
from matplotlib.figure import Figure
from PIL import Image

from fedcxr.config import Config
from fedcxr.errors import DataError, StoreError
from fedcxr.evaluation.comparison import Contender, Kind, compare
from fedcxr.evaluation.scores import Evaluation
from fedcxr.report.curves import draw_curves
from fedcxr.report.round_table import round_table
from fedcxr.report.summary import read_comparison, write_comparison, write_summary
from fedcxr.round_lines import read_rounds
from fedcxr.store.run_directory import RunDirectory

VALID = disc_valid(60, ("north", "south"))


def answers(seed: int) -> np.ndarray:
    skill = (VALID.labels == 1) * 0.1 * seed
    return (skill + np.random.default_rng(seed).random((60, 14))).astype(np.float32) / 2


def evaluation(config: Config, seed: int) -> Evaluation:
    return VALID.evaluate(answers(seed), config)


def line(number: int, found: Evaluation | None, gas: dict[str, int]) -> dict[str, object]:
    metrics = {
        "address": "0x01",
        "salt": "00",
        "images": 40,
        "passes": 80,
        "steps": 5,
        "seconds": 1.0,
        "protect_seconds": 0.1,
        "loss": 0.5,
        "bce": 0.4,
        "contrastive": 1.0,
        "saturated": 0,
    }
    return {
        "round": number,
        "model": f"{number:064x}",
        "seconds": 12.5,
        "ledger_seconds": 0.25,
        "verify_seconds": 0.5,
        "bytes_up": 3_000_000,
        "bytes_down": 1_500_000,
        "gas": gas,
        "included": ["0x01"],
        "excluded": {"0x02": "EnvelopeError: it does not open"} if number == 2 else {},
        "hospitals": {"north": metrics, "south": metrics},
        "evaluation": None if found is None else found.to_dict(),
    }


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Two finalized rounds of three."""
    config = disc_config()
    made = RunDirectory.create(tmp_path / "run", config)
    made.metrics.put(line(1, evaluation(config, 1), {"deploy": 500, "finalize": 100}))
    made.metrics.put(line(2, evaluation(config, 2), {"finalize": 130}))
    return made


def test_summary_says_what_came_out_and_how_to_check_it(run: RunDirectory) -> None:
    text = write_summary(run).read_text(encoding="utf-8")
    last = evaluation(run.config, 2)
    assert last.macro.value is not None
    assert "rounds: 2 of 3 (unfinished" in text
    assert run.config.digest().hex() in text
    assert f"Mean AUROC {last.macro.value:.3f} [" in text
    assert "image passes: 320, of all hospitals" in text
    assert "round 2, 0x02: EnvelopeError: it does not open" in text
    assert f"`fedcxr audit {run.root}`" in text
    assert "SYNTHETIC" not in text
    assert "baselines" not in text
    with Image.open(run.root / "auroc.png") as picture:
        assert picture.width > picture.height > 400


def test_synthetic_images_are_named_on_top(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", disc_config({"data.phantom": {}}))
    assert "SYNTHETIC" in write_summary(run).read_text(encoding="utf-8").splitlines()[2]


def test_a_run_without_rounds_or_evaluations_has_a_summary(run: RunDirectory, tmp_path: Path) -> None:
    fresh = RunDirectory.create(tmp_path / "fresh", disc_config())
    assert "rounds: 0 of 3" in write_summary(fresh).read_text(encoding="utf-8")
    fresh.metrics.put(line(1, None, {}))
    assert "the run has no validation set" in write_summary(fresh).read_text(encoding="utf-8")


def test_the_comparison_is_kept_and_shown(run: RunDirectory) -> None:
    contenders = [
        Contender(kind, name, 40, 240, answers(seed))
        for seed, (kind, name) in enumerate(
            [(Kind.FEDERATED, "federated"), (Kind.POOLED, "pooled"), (Kind.ALONE, "north")]
        )
    ]
    comparison = compare(contenders, VALID, run.config)
    assert read_comparison(run) is None
    write_comparison(run, comparison)
    assert read_comparison(run) == comparison
    text = write_summary(run).read_text(encoding="utf-8")
    assert "Federated, pooled, alone" in text
    assert "| north alone | 40 | 240 |" in text


def test_the_table_has_each_rounds_own_gas(run: RunDirectory) -> None:
    run.metrics.put(line(3, None, {"finalize": 120}))
    table = round_table(read_rounds(run))
    assert [row[-1] for row in table.rows] == ["600", "130", "120"]
    assert [row[1] for row in table.rows] == ["1", "1 (−1)", "1"]
    assert table.rows[2][2] == "not evaluated"


def test_a_damaged_line_is_named(run: RunDirectory) -> None:
    lines = run.metrics.read()
    lines[1]["bytes_up"] = "many"
    run.metrics.put(lines[1])
    with pytest.raises(StoreError, match=r"metrics\.jsonl, line 2: bytes_up"):
        write_summary(run)


def test_a_damaged_comparison_is_named(run: RunDirectory) -> None:
    (run.root / "baselines").mkdir()
    (run.root / "baselines" / "comparison.json").write_text(json.dumps({"rounds": 3}))
    with pytest.raises(DataError, match="not a comparison"):
        write_summary(run)


def test_curves_take_gaps_undefined_hospitals_and_many_of_them(tmp_path: Path, figures: list[Figure]) -> None:
    config = disc_config()
    gap = {1: evaluation(config, 1), 4: evaluation(config, 4)}
    draw_curves(gap, tmp_path / "gap.svg", title="gap", references={"pooled": 0.9})
    whole, parts = figures[0].axes
    assert whole.get_ylim() == parts.get_ylim()
    one_class = disc_valid(2, ("west", "east"))
    probabilities = np.full((2, 14), 0.5, dtype=np.float32)
    undefined = one_class.evaluate(probabilities, config)
    draw_curves({1: undefined}, tmp_path / "undefined.png", title="no hospital has both classes")
    crowd = disc_valid(120, tuple(f"h{number}" for number in range(30)))
    many = crowd.evaluate(np.random.default_rng(0).random((120, 14), dtype=np.float32), config)
    draw_curves({1: many, 2: many}, tmp_path / "many.png", title="thirty hospitals")
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(DataError, match="nothing to draw"):
        draw_curves({}, tmp_path / "none.png", title="")
