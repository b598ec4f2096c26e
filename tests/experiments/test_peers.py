"""The comparison with fedcxr's peers, where none of them is installed: its plan, its arithmetic, its page."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.peers.cells import CELLS, SYSTEMS, Cell, plan
from experiments.peers.figures import Agreement, Outcome, compare, whole_rounds
from experiments.peers.page import page_of, read_outcomes
from experiments.peers.timeline import Progress, RoundTimes, Timeline, covered

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "experiments" / "peers"
OUTCOME = Outcome(
    cell="compact-50",
    system="pfl",
    hospitals=50,
    at_once=1,
    command="python experiments/peers/run.py --cells compact-50 --systems pfl --rounds 5",
    versions={"pfl": "0.6.0", "torch": "2.14.1"},
    machine="a processor, 2 cores",
    load=0.1,
    started="2026-11-30T00:00:00+00:00",
    startup=3.0,
    rounds=[(9.0, 5.0), (2.0, 1.5), (4.0, 3.9), (3.0, 2.0), (99.0, 2.0)],
    memory=1_500_000_000,
    agreement=Agreement(1e-7, 1.25, 0.2, agrees=True),
)


def test_nothing_but_a_systems_own_file_imports_it() -> None:
    heavy = {"nvflare", "pfl", "ray", "torch"}
    code = f"import sys, experiments.peers.driver; print(sorted({heavy} & {{*sys.modules}}))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_cells_are_named_by_network_and_hospitals() -> None:
    assert [cell.name for cell in CELLS] == [
        *(f"xception-{n}" for n in (4, 8, 16, 32)),
        *(f"compact-{n}" for n in (50, 200, 1000)),
    ]
    assert all(Cell.named(cell.name) == cell for cell in CELLS)
    assert (Cell("xception", 4).images, Cell("compact", 4).images) == (8, 4)


@pytest.mark.parametrize("name", ["compact", "compact-1", "compact-0", "vgg-4", "compact-4x", "compact--4"])
def test_what_names_no_cell_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no cell"):
        Cell.named(name)


def test_systems_take_turns_within_a_cell() -> None:
    four, eight = Cell("compact", 4), Cell("compact", 8)
    assert plan([four, eight], ["pfl", "fedcxr"]) == [
        (four, "pfl"),
        (four, "fedcxr"),
        (eight, "pfl"),
        (eight, "fedcxr"),
    ]


def test_every_system_has_a_file_and_says_how_many_it_has_at_once() -> None:
    assert all((PEERS / f"{system.module}.py").exists() for system in SYSTEMS.values())
    at_once = {name: system.clients_at_once(8) for name, system in SYSTEMS.items()}
    assert at_once == {
        "flower": 2,
        "nvflare": 8,
        "nvflare-threads": 2,
        "pfl": 1,
        "fedcxr": 1,
        "fedcxr-workers": 2,
        "fedcxr-open": 1,
        "fedcxr-ray": 2,
    }


def test_time_in_which_several_train_counts_once() -> None:
    assert covered([]) == 0.0
    assert covered([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 2.5)]) == 4.0


def test_a_timeline_is_read_back_whoever_wrote_it(tmp_path: Path) -> None:
    timeline = Timeline(tmp_path / "timeline.jsonl")
    assert timeline.read() == {}
    timeline.began(1)
    Timeline(timeline.path).trained(1, "b", 0.5)
    timeline.trained(1, "a", 0.25)
    timeline.ended(1)
    timeline.began(2)
    times = timeline.read()
    assert times[1].hospitals == ["b", "a"]
    assert [round(end - begin, 9) for begin, end in times[1].trainings] == [0.5, 0.25]
    assert times[1].seconds is not None and times[1].seconds >= 0
    assert times[2].seconds is None


def test_the_rounds_that_are_timed_are_those_between_the_first_and_the_last(tmp_path: Path) -> None:
    timeline = Timeline(tmp_path / "timeline.jsonl")
    progress = Progress(timeline)
    assert not progress.is_timed(3)
    for round_number, timed in ((1, False), (2, True), (3, False)):
        timeline.began(round_number)
        assert progress.is_timed(3) == timed
        timeline.trained(round_number, "a", 0.1)
        assert progress.is_timed(3) == timed
        timeline.ended(round_number)
    assert not progress.is_timed(3)


def test_a_round_is_whole_when_every_hospital_trained_once_in_it() -> None:
    whole = {n: RoundTimes(0.0, 1.0, [], ["b", "a"]) for n in (1, 2)}
    assert whole_rounds(whole, 2, ["a", "b"]) == ""
    assert whole_rounds(whole, 3, ["a", "b"]) == "round 3 of 3 did not end"
    twice = whole | {2: RoundTimes(0.0, 1.0, [], ["a", "a"])}
    assert whole_rounds(twice, 2, ["a", "b"]) == "round 2: 2 trainings, of 1 of 2 hospitals"


def test_figures_are_medians_of_the_rounds_between_the_first_and_the_last() -> None:
    assert (OUTCOME.seconds, OUTCOME.beyond, OUTCOME.first) == (3.0, 0.5, 9.0)


def test_an_outcome_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "compact-50" / "pfl.json"
    OUTCOME.write(path)
    assert Outcome.read(path) == OUTCOME
    failed = replace(OUTCOME, agreement=None, startup=None, rounds=[], failure="it was cut off")
    failed.write(path)
    assert Outcome.read(path) == failed


def models(hospitals: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First model, each hospital's, and their average in float64; two tensors of different size."""
    draw = np.random.default_rng(0)
    first = np.concatenate([draw.standard_normal(40), 300 * draw.standard_normal(20)]).astype(np.float32)
    each = first + draw.normal(scale=1e-3, size=(hospitals, 60)).astype(np.float32)
    return first, each, each.astype(np.float64).mean(axis=0)


STARTS = np.array([0, 40])


@pytest.mark.parametrize("hospitals", [4, 50, 1000])
def test_an_average_in_float32_agrees_in_any_order(hospitals: int) -> None:
    first, each, average = models(hospitals)
    model = first * np.float32(0)
    for one in each:  # one after the other, as a naive server adds
        model = model + one * np.float32(1 / hospitals)
    agreement = compare(model, average, first, starts=STARTS, steps=None, hospitals=hospitals)
    assert agreement.agrees, agreement
    assert 0 < agreement.units < hospitals / 2 + 4
    assert agreement.moved == pytest.approx(np.abs(average - first).max())


def test_an_average_that_left_out_a_hospital_or_weighed_one_twice_does_not_agree() -> None:
    first, each, average = models(8)
    for wrong in (each[1:].mean(axis=0), np.concatenate([each, each[:1]]).mean(axis=0), first):
        agreement = compare(wrong.astype(np.float32), average, first, starts=STARTS, steps=None, hospitals=8)
        assert not agreement.agrees, agreement
    broken = average.astype(np.float32)
    broken[3] = np.nan
    assert not compare(broken, average, first, starts=STARTS, steps=None, hospitals=8).agrees


def test_a_fixed_point_may_be_off_by_half_a_step_and_no_more() -> None:
    first, each, average = models(4)
    steps = np.array([2.0**-6, 2.0**-4])
    size = np.repeat(steps, [40, 20])
    rounded = first + (np.rint((each - first) / size) * size).mean(axis=0)
    near = compare(rounded.astype(np.float32), average, first, starts=STARTS, steps=steps, hospitals=4)
    assert near.agrees
    assert 0 < near.units <= 0.5
    off = (average + 0.6 * size).astype(np.float32)
    assert not compare(off, average, first, starts=STARTS, steps=steps, hospitals=4).agrees


def test_the_page_has_figures_ratios_and_reasons(tmp_path: Path) -> None:
    kept = [
        OUTCOME,
        replace(OUTCOME, system="fedcxr", rounds=[(9.0, 5.0), (6.0, 1.0), (9.0, 1.0)], memory=2_000_000_000),
        replace(OUTCOME, cell="xception-4", system="nvflare", at_once=4, failure="needs more than 20 GB"),
    ]
    for each in kept:
        each.write(tmp_path / each.cell / f"{each.system}.json")
    outcomes = read_outcomes(tmp_path)
    assert [(each.cell, each.system) for each in outcomes] == [
        ("xception-4", "nvflare"),
        ("compact-50", "pfl"),
        ("compact-50", "fedcxr"),
    ]
    page = page_of(outcomes)
    assert "| pfl-research | 1 | 3 (0.5) |" in page
    assert "| fedcxr, local grid | 1 | 6 (5) |" in page
    assert "| fedcxr, local grid | pfl-research | – | 2.00 |" in page
    assert "| pfl-research | 1 | 3, 12 |" in page
    assert "| pfl-research | 1 | 1.50 |" in page
    assert "| NVFLARE's simulator | all | none |" in page
    assert "- `xception-4`, NVFLARE's simulator: needs more than 20 GB" in page
    assert page_of([]).endswith("Nothing is kept yet.\n")


def test_the_page_is_the_one_that_is_kept() -> None:
    page = (ROOT / "experiments" / "peers.md").read_text(encoding="utf-8")
    assert page == page_of(read_outcomes(PEERS / "results"))


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = ["--scratch", str(tmp_path / "scratch"), "--results", str(tmp_path / "results")]
    command = [sys.executable, str(PEERS / "run.py"), *places, *arguments]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_a_command_that_asks_for_nothing_there_is_says_so(tmp_path: Path) -> None:
    for arguments, said in (
        (["--cells", "vgg-4"], "'vgg-4' is no cell"),
        (["--systems", "flower,fedml"], "no such system: fedml"),
        (["--rounds", "2"], "--rounds: at least 3"),
    ):
        ran = run(tmp_path, *arguments)
        assert (ran.returncode, said in ran.stderr) == (2, True), ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_fedcxr_is_measured_where_no_peer_is_installed_and_a_run_that_is_cut_off_is_a_row(
    tmp_path: Path,
) -> None:
    cell = ["--cells", "compact-2", "--rounds", "3", "--systems"]
    ran = run(tmp_path, *cell, "fedcxr-open")
    assert ran.returncode == 0, ran.stderr
    outcome = Outcome.read(tmp_path / "results" / "compact-2" / "fedcxr-open.json")
    assert outcome.failure == "", outcome
    assert len(outcome.rounds) == 3
    assert all(0 < training < seconds for seconds, training in outcome.rounds)
    assert outcome.startup is not None and outcome.startup > 0
    assert outcome.memory > 1e8
    assert outcome.agreement is not None and outcome.agreement.agrees
    assert json.loads((tmp_path / "scratch/compact-2-3/work/cell.json").read_text())["cell"] == "compact-2"

    ran = run(tmp_path, *cell, "fedcxr-open,fedcxr", "--limit", "0.3", "--missing")
    assert ran.returncode == 0, ran.stderr
    assert Outcome.read(tmp_path / "results/compact-2/fedcxr.json").failure == "not done after 0 s"
    assert Outcome.read(tmp_path / "results/compact-2/fedcxr-open.json") == outcome
