"""What ``contracts/check`` fails on: other bytes than shipped, lines that no test runs, calls that grew."""

import importlib.util
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location(
    "checks", Path(__file__).resolve().parents[2] / "contracts" / "checks.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
checks = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(checks)


def test_a_call_may_grow_by_a_twentieth() -> None:
    snapshot = {"open": "1000", "close": "1000"}
    assert checks.check_gas({"open": "1050", "close": "10"}, snapshot) == []
    (problem,) = checks.check_gas({"open": "1051", "close": "1000"}, snapshot)
    assert "open" in problem
    assert "+5.1%" in problem


def test_every_call_is_in_the_snapshot_and_every_call_there_is_measured() -> None:
    assert len(checks.check_gas({"open": "1", "new": "1"}, {"open": "1", "gone": "1"})) == 2


def test_nineteen_lines_of_twenty_are_covered_and_branches_too() -> None:
    lines = "SF:src/A.sol\nLF:20\nLH:{}\nBRF:20\nBRH:{}\nend_of_record\nSF:test/A.t.sol\nLF:900\nLH:0\n"
    assert checks.check_coverage(lines.format(19, 19)) == []
    assert len(checks.check_coverage(lines.format(18, 19))) == 1
    assert len(checks.check_coverage(lines.format(18, 18))) == 2
    assert len(checks.check_coverage("")) == 2


def test_forge_makes_the_bytes_that_are_shipped() -> None:
    made = {"bytecode": {"object": "0x01"}, "deployedBytecode": {"object": "0x02"}}
    assert checks.check_bytes(made, {"bytecode": "0x01", "deployed_bytecode": "0x02"}) == []
    assert len(checks.check_bytes(made, {"bytecode": "0x03", "deployed_bytecode": "0x02"})) == 1
