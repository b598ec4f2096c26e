"""A run that an earlier version founded is audited, read, resumed and audited after, bit for bit.

``tests/fixtures/founded_runs/README.md`` says what the kept runs are, and which version made them. What that
version said of each of them is in ``NAME.json``: today's code has to say the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kept_runs import EXPORT, KeptRun, arithmetic, read_expected

NAMES = ("sealed", "root", "local", "committee", "anvil")
KEYS = ("usual", "auditor", "coordinator", "journals", "none")
MOVES = {b"v1:canonical_head_hash", b"v1:chain_gaps", b"v1:header_chain_gaps"}  # a new block replaces them
TOLERANCE = 0.02  # of a tensor's norm after two rounds on another machine

Unpacked = Callable[[str], KeptRun]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    """A kept run by its name, unpacked once: a test that changes one takes a copy."""
    runs: dict[str, KeptRun] = {}

    def unpacked(name: str) -> KeptRun:
        if name not in runs:
            runs[name] = KeptRun.unpack(name, tmp_path_factory.mktemp(name))
        return runs[name]

    return unpacked


@pytest.fixture(scope="module")
def resumed(kept: Unpacked, tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    """A kept run by its name, carried to its end by today's code."""
    runs: dict[str, KeptRun] = {}

    def carried(name: str) -> KeptRun:
        if name not in runs:
            run = kept(name).copied(tmp_path_factory.mktemp(f"{name}-resumed"))
            said = run.resume()
            assert said.code == 0, said.out
            assert said.out.splitlines()[0] == f"{run.root}: {read_expected(name)['standing']}"
            runs[name] = run
        return runs[name]

    return carried


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Of a kept run."""
    if request.param == "anvil":
        request.getfixturevalue("anvil_binary")
    return str(request.param)


def test_its_ledger_and_its_digests_are_read_as_they_were(name: str, kept: Unpacked, tmp_path: Path) -> None:
    run = kept(name).copied(tmp_path)
    assert as_json(run.founded()) == read_expected(name)["founded"]


def test_tables_of_its_ledger_are_printed(kept: Unpacked, tmp_path: Path) -> None:
    run = kept("sealed").copied(tmp_path)
    show = run.call("ledger", "show", run.root)
    rounds = run.call("ledger", "rounds", run.root)
    assert (show.code, rounds.code) == (0, 0)
    assert read_expected("sealed")["founded"]["digests"]["ledger.contract"] in show.out
    assert "finalized" in rounds.out
    assert "open" in rounds.out


@pytest.mark.parametrize("keys", KEYS)
def test_its_audit_has_the_verdict_that_it_had(name: str, keys: str, kept: Unpacked) -> None:
    assert kept(name).audit(keys) == read_expected(name)["audits"][keys]


def test_an_export_that_was_written_then_is_verified(kept: Unpacked) -> None:
    """What was said of it then is said today; since then who signed is asked too, and anybody is nobody."""
    run, expected = kept("root"), read_expected("root")
    said = run.call("audit", "verify", run.root / EXPORT, "--json")
    assert {key: said.tree()[key] for key in expected["export"]} == expected["export"]
    assert (said.code, said.tree()["known_as"]) == (91, "")
    known = run.call("audit", "verify", run.root / EXPORT, "--json", "--signer", said.tree()["signer"])
    assert (known.code, known.tree()["authentic"], known.tree()["proven"]) == (0, True, True)
    assert known.tree()["report"]["released"] == expected["trained"]["models"][-1]


def test_an_export_that_was_written_then_and_changed_since_is_refused(kept: Unpacked, tmp_path: Path) -> None:
    data = bytearray((kept("root").root / EXPORT).read_bytes())
    data[len(data) // 2] ^= 1
    changed = tmp_path / EXPORT
    changed.write_bytes(data)
    assert kept("root").call("audit", "verify", changed).code == 90


def test_it_is_resumed_to_its_end_under_the_contract_that_it_was_founded_with(
    name: str, resumed: Unpacked
) -> None:
    run, expected = resumed(name), read_expected(name)
    assert as_json(run.ended()) == expected["ended"]
    norms = run.norms()
    assert norms == pytest.approx(expected["norms"], rel=TOLERANCE, abs=TOLERANCE)


def test_what_was_final_or_open_stays_as_it_was(name: str, kept: Unpacked, resumed: Unpacked) -> None:
    run, before = resumed(name), read_expected(name)["founded"]
    after = as_json(run.ledger("rounds"))
    for old, new in zip(before["rounds"], after, strict=False):
        stays = old if old["phase"] == "finalized" else ("attempt", "base", "config_digest", "opened")
        assert {key: new[key] for key in stays} == {key: old[key] for key in stays}
    assert before["models"].items() <= run.models().items()
    assert run.recorded()[: len(before["recorded"])] == before["recorded"]
    if name == "anvil":
        journals = [one.root / "ledger.journal" for one in (kept(name), run)]
        assert journals[1].read_bytes().startswith(journals[0].read_bytes())
        return
    rows, grown = kept(name).chain_rows(), run.chain_rows()
    assert {key for key, value in rows.items() if grown.get(key) != value} <= MOVES


def test_rounds_trained_after_it_was_resumed_have_the_bits_of_the_run_that_was_never_cut(
    name: str, resumed: Unpacked
) -> None:
    run, expected = resumed(name), read_expected(name)
    if arithmetic(run.data) != expected["arithmetic"]:
        made = expected["made"]
        pytest.skip(f"this machine or its torch rounds otherwise than where the run was made, under {made}")
    assert as_json(run.trained()) == expected["trained"]


def test_it_is_audited_at_its_end_with_every_key_and_journal(name: str, resumed: Unpacked) -> None:
    run, expected = resumed(name), read_expected(name)["audit_at_the_end"]
    verdict = run.audit("journals")
    released = run.ledger("rounds")[-1]["model_digest"]
    assert verdict == {**expected, "released": released}
    assert (verdict["clean"], verdict["complete"], verdict["proven"]) == (True, True, True)


def test_a_finished_one_is_left_alone(kept: Unpacked, tmp_path: Path) -> None:
    run = kept("root").copied(tmp_path)
    before, rows = files_of(run), run.chain_rows()
    said = run.resume()
    assert (said.code, said.out) == (0, f"{run.root}: {read_expected('root')['standing']}\n")
    assert files_of(run) == before
    assert run.chain_rows() == rows


def files_of(run: KeptRun) -> dict[Path, bytes]:
    """Every file but the chain's, which counts how often it was opened."""
    paths = (path for path in run.root.rglob("*") if path.is_file() and path.name != "ledger.sqlite")
    return {path: path.read_bytes() for path in paths}


def as_json(tree: Any) -> Any:
    """A tree as it is read back from JSON."""
    return json.loads(json.dumps(tree))
