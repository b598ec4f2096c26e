"""The run directory: every file comes back, and a damaged one is named."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from fedcxr.config import Config
from fedcxr.errors import ConfigError, FedcxrError, StoreError
from fedcxr.store.run_directory import LedgerFacts, RunDirectory
from fedcxr.update.layout import Layout, TensorSpec

FACTS = LedgerFacts("ab" * 32, 61370, "0x" + "11" * 20)


@pytest.fixture
def run(small_config: Config, tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", small_config)


def test_what_is_written_comes_back(run: RunDirectory, small_config: Config) -> None:
    layout = Layout((TensorSpec("w", (2, 3), False, False),))
    run.write_layout(layout)
    run.write_facts(FACTS)
    again = RunDirectory.open(run.root)
    assert again.config == small_config
    assert again.config.digest() == small_config.digest()
    assert again.read_layout() == layout
    assert again.read_facts() == FACTS


def test_keys_and_hospitals_are_their_owners_alone(run: RunDirectory) -> None:
    assert [stat.S_IMODE(p.stat().st_mode) for p in (run.keys, run.hospitals)] == [0o700, 0o700]


def test_a_run_is_taken_up_by_its_own_configuration_only(run: RunDirectory, small_config: Config) -> None:
    assert RunDirectory.create(run.root, small_config) == run
    with pytest.raises(ConfigError, match="holds another run"):
        RunDirectory.create(run.root, small_config.with_changes({"seed": 9}))


def test_a_configuration_that_leaves_something_to_a_measurement_makes_no_run(
    small_config: Config, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="auto"):
        RunDirectory.create(tmp_path / "run", small_config.with_changes({"training.precision": "auto"}))
    assert not (tmp_path / "run").exists()


def test_a_place_without_a_run_and_a_run_without_a_model_are_named(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is not a run directory: it has no config\.toml"):
        RunDirectory.open(tmp_path)
    with pytest.raises(StoreError, match=r"none: there is no such folder\.$"):
        RunDirectory.open(tmp_path / "none")
    with pytest.raises(StoreError, match="no such model; has the run begun"):
        _ = run.last_model


def test_the_last_model_is_that_of_the_last_round_on_record(run: RunDirectory) -> None:
    for number in (0, 9, 10):
        run.model(number).touch()
    assert run.last_model == run.model(0)
    run.metrics.put({"round": 9})
    assert run.last_model == run.model(9)  # the coordinator died before it had released round 10


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"federation": "ab"}', "[" * 100_000],
    ids=["empty", "cut", "list", "null", "field missing", "deep"],
)
@pytest.mark.parametrize(
    ("name", "read"), [("ledger.json", RunDirectory.read_facts), ("layout.json", RunDirectory.read_layout)]
)
def test_a_damaged_file_is_an_error_of_ours(
    run: RunDirectory, name: str, read: Callable[[RunDirectory], object], text: str
) -> None:
    (run.root / name).write_text(text)
    with pytest.raises(FedcxrError):
        read(run)


def test_facts_of_another_type_are_refused(run: RunDirectory) -> None:
    run.write_facts(FACTS)
    path = run.root / "ledger.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chain_id": "61370"}))
    with pytest.raises(StoreError, match="chain_id is '61370', not a int"):
        run.read_facts()
