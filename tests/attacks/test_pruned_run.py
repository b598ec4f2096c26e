"""A tampered run never looks like one whose keeper removed its updates, and a removal proves nothing.

``pruned.json`` and ``pruned.zip`` come with a run, and so from whoever sends it. They can make the absence of
updates that are in a sum a thing that is named instead of found. They hide nothing else, and no audit ends
with 0 because of them.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation import run_federation

from fedcxr import open_run
from fedcxr.aggregation.weighted_sum import WeightedSum
from fedcxr.api.audit import Audit
from fedcxr.api.pruning import audited
from fedcxr.config import Config
from fedcxr.ledger.protocol import RoundView
from fedcxr.run.ledger_access import reading_ledger
from fedcxr.store.identity import Identity
from fedcxr.store.pruned import Pruned
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update.layout import Vector
from server.tally import Tally


@pytest.fixture(scope="module")
def honest(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Three hospitals, two rounds; never written to after this."""
    return run_federation(small_config, tmp_path_factory.mktemp("honest") / "run")


@pytest.fixture
def run(honest: RunDirectory, tmp_path: Path) -> RunDirectory:
    return RunDirectory(shutil.copytree(honest.root, tmp_path / "run"), trusted=True)


def update_paths(run: RunDirectory, number: int) -> list[Path]:
    with reading_ledger(run) as ledger:
        return [Path(run.blob_store().path(u.root)) for u in ledger.round(number).accepted.values()]


def prune(run: RunDirectory, *numbers: int, **changes: Any) -> None:
    """Remove the updates of rounds as a keeper, honest or not, may do it by hand."""
    for number in numbers:
        for path in update_paths(run, number):
            path.unlink()
    facts = run.read_facts()
    said = Pruned(facts.federation, facts.contract).with_rounds(numbers, "")
    said.write(run.root)
    path = run.root / "pruned.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def audit_of(run: RunDirectory) -> Audit:
    return open_run(run.root).audit(state="off")


def places(outcome: Audit) -> list[str]:
    return [finding.where for finding in outcome.findings]


def test_what_is_said_of_a_removal_makes_no_audit_pass(run: RunDirectory) -> None:
    prune(run, 1, 2)
    outcome = audit_of(run)
    assert outcome.clean
    assert (outcome.proven, outcome.complete, outcome.released) == (False, False, "")
    assert sum("removed by the run's keeper" in line for line in outcome.unchecked) == 6


def test_updates_that_are_gone_and_that_nobody_says_he_removed_are_lost(run: RunDirectory) -> None:
    prune(run, 1)
    for path in update_paths(run, 2):
        path.unlink()
    assert places(audit_of(run)) == ["blob"] * 3
    (run.root / "pruned.json").unlink()
    assert places(audit_of(run)) == ["blob"] * 6


def test_an_update_that_is_changed_is_a_finding_whatever_is_said_to_be_removed(run: RunDirectory) -> None:
    changed = update_paths(run, 1)[0]
    data = bytearray(changed.read_bytes())
    data[-1] ^= 1
    prune(run, 1, 2)
    changed.write_bytes(data)
    outcome = audit_of(run)
    assert places(outcome) == ["blob"]
    assert "its bytes have the root" in outcome.findings[0].found


def test_a_model_that_was_swapped_in_a_pruned_run_is_a_finding(run: RunDirectory) -> None:
    prune(run, 1, 2)
    shutil.copyfile(run.model(1), run.model(2))
    assert "round-0002.safetensors" in places(audit_of(run))


def test_a_weight_that_was_changed_in_a_pruned_runs_model_is_a_finding(run: RunDirectory) -> None:
    prune(run, 1, 2)
    data = bytearray(run.model(2).read_bytes())
    data[-1] ^= 1
    run.model(2).write_bytes(data)
    assert places(audit_of(run)) == ["round-0002.safetensors"]


def test_a_pruned_run_without_its_model_is_no_pruned_run(run: RunDirectory) -> None:
    prune(run, 1, 2)
    run.model(2).unlink()
    assert "round-0002.safetensors" in places(audit_of(run))


def test_a_released_model_that_does_not_follow_from_a_kept_aggregate_is_a_finding(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of open updates the sums stay: without the updates they say less, and still what a model must be."""
    config = small_config.with_changes({"privacy.envelope": "open", "federation.rounds": 1})
    honest = WeightedSum.model

    def favoured(self: WeightedSum, base: Vector, exponents: Sequence[int]) -> Vector:
        return honest(self, base, exponents) + np.float32(1e-3)

    with monkeypatch.context() as patch:
        patch.setattr(WeightedSum, "model", favoured)
        run = RunDirectory(run_federation(config, tmp_path / "run").root, trusted=True)
    prune(run, 1)
    assert places(audit_of(run)) == ["model digest"]


@pytest.mark.parametrize("small", ["config_digest", "metrics"])
def test_the_small_blobs_of_a_pruned_run_are_held_to_the_ledger(run: RunDirectory, small: str) -> None:
    with reading_ledger(run) as ledger:
        view = ledger.round(1)
    root = view.config_digest if small == "config_digest" else next(iter(view.accepted.values())).metrics
    path = Path(run.blob_store().path(root))
    prune(run, 1, 2)
    data = path.read_bytes()
    path.unlink()
    assert places(audit_of(run)) == [{"config_digest": "round configuration"}.get(small, small)]
    path.write_bytes(data[:-1])
    assert len(places(audit_of(run))) == 1


def test_the_chain_of_a_pruned_run_is_executed_again(run: RunDirectory) -> None:
    prune(run, 1, 2)
    data = bytearray(run.chain_path.read_bytes())
    data[len(data) // 2] ^= 1
    run.chain_path.write_bytes(data)
    assert audit_of(run).findings


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"federation": "ab" * 32}, "pruned.json federation"),
        ({"contract": "0x" + "11" * 20}, "pruned.json contract"),
        ({"rounds": [1, 2, 3]}, "pruned.json rounds"),
        ({"rounds": [2, 1]}, "pruned.json"),
        ({"rounds": [0, 1, 2]}, "pruned.json"),
        ({"rounds": [True, 2]}, "pruned.json"),
        ({"rounds": ["1", "2"]}, "pruned.json"),
        ({"rounds": {"1": 2}}, "pruned.json"),
        ({"rounds": None}, "pruned.json"),
        ({"statement": "../../etc/passwd"}, "pruned.json"),
        ({"statement": 7}, "pruned.json"),
        ({"format": "fedcxr/pruned/2"}, "pruned.json"),
        ({"more": 1}, "pruned.json"),
    ],
)
def test_a_record_that_is_none_is_a_finding_and_removes_nothing(
    run: RunDirectory, changes: dict[str, Any], where: str
) -> None:
    prune(run, 2, **changes)
    found = places(audit_of(run))
    assert found.count(where) == 1
    assert found.count("blob") == 3  # the updates of round 2 are as lost as without the record


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", "[" * 100_000, '{"rounds": [' + "1," * 600_000 + "1]}", "x" * (2 << 20)]
)
def test_a_record_that_is_no_record_at_all_is_a_finding(run: RunDirectory, text: str) -> None:
    (run.root / "pruned.json").write_text(text)
    outcome = audit_of(run)
    assert places(outcome) == ["pruned.json"]
    assert len(str(outcome.findings[0])) < 1000


def _stated(run: RunDirectory, export: bytes) -> None:
    """Have the record name an export as the audit of before."""
    (run.root / "pruned.zip").write_bytes(export)
    said = Pruned.read(run.root)
    assert said is not None
    said.with_rounds((), hashlib.sha256(export).hexdigest()).write(run.root)


def test_a_statement_of_a_stranger_is_said_to_be_a_strangers(run: RunDirectory) -> None:
    stranger = Identity.fresh("X25519")
    stranger.write(run.root / "stranger.json")
    audited(run, None, run.root / "stranger.json", lambda what, done, total: None)
    export = (run.root / "pruned.zip").read_bytes()
    prune(run, 1, 2)
    _stated(run, export)
    outcome = audit_of(run)
    assert outcome.clean
    assert not outcome.proven
    (note,) = [note for note in outcome.notes if note.startswith("pruned.zip")]
    assert f"{stranger.account.address} (whom the ledger does not name)" in note


def test_a_statement_that_was_changed_is_a_finding(run: RunDirectory) -> None:
    audited(run, None, None, lambda what, done, total: None)
    export = bytearray((run.root / "pruned.zip").read_bytes())
    prune(run, 1, 2)
    for spoil in (lambda: export[:-1], lambda: bytes(len(export)), lambda: b""):
        _stated(run, bytes(spoil()))
        assert set(places(audit_of(run))) == {"pruned.zip"}
    (run.root / "pruned.zip").unlink()
    assert places(audit_of(run)) == ["pruned.zip"]


def test_a_statement_about_another_chain_is_a_finding(
    run: RunDirectory, small_config: Config, tmp_path: Path
) -> None:
    other = RunDirectory(run_federation(small_config, tmp_path / "other").root, trusted=True)
    audited(other, None, None, lambda what, done, total: None)
    prune(run, 1, 2)
    _stated(run, (other.root / "pruned.zip").read_bytes())
    assert places(audit_of(run)) == ["pruned.zip"]


def test_a_statement_about_another_history_of_the_same_contract_is_a_finding(
    small_config: Config, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    def die(event: object) -> None:
        if type(event).__name__ == "RoundFinalized":
            raise Killed

    with pytest.raises(Killed):
        run_federation(small_config, tmp_path / "run", observer=die)
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    one, other = (
        RunDirectory(run_federation(small_config, tmp_path / name).root, trusted=True)
        for name in ("run", "again")
    )
    audited(other, None, None, lambda what, done, total: None)
    prune(one, 1, 2)
    _stated(one, (other.root / "pruned.zip").read_bytes())
    (finding,) = audit_of(one).findings
    assert (finding.where, finding.expected) == ("pruned.zip", "an export of this chain")


def test_an_update_that_was_left_out_of_the_sum_cannot_be_said_to_be_removed(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a coordinator excludes is what it may have excluded wrongly: its bytes have to be shown."""
    include = Tally.include
    victims: list[str] = []

    def leave_out(self: Tally, view: RoundView, address: str) -> str:
        if view.number > 1 or victims:
            return include(self, view, address)
        victims.append(address)
        self.excluded[address] = "EnvelopeError: it did not open"
        return "excluded: it did not open"

    monkeypatch.setattr(Tally, "take", lambda self, blob, root, view, address: None)
    monkeypatch.setattr(Tally, "include", leave_out)
    run = RunDirectory(run_federation(small_config, tmp_path / "run").root, trusted=True)
    prune(run, 1, 2)
    outcome = audit_of(run)
    assert [(f.where, f.hospital) for f in outcome.findings] == [("blob", victims[0])]
    assert sum("removed by the run's keeper" in line for line in outcome.unchecked) == 5
