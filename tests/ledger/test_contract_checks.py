"""What ``contracts/check`` fails on: other bytes than shipped, lines that no test runs, calls that grew."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SPEC = importlib.util.spec_from_file_location("checks", ROOT / "contracts" / "checks.py")
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
    keys = ("bytecode", "deployed_bytecode")
    assert checks.check_bytes(made, {"bytecode": "0x01", "deployed_bytecode": "0x02"}, *keys) == []
    assert len(checks.check_bytes(made, {"bytecode": "0x03", "deployed_bytecode": "0x02"}, *keys)) == 1


def test_the_gas_of_a_round_is_told_by_the_measured_ones() -> None:
    calls = {"open": (100.0, 7.0, 0.5), "close": (9.0, 2.0, 0.0), "finalize": (5.0, 0.0, 0.0)}
    snapshot = {
        f"{call} for {n:,}": str(int(a + b * n + c * n * n))
        for call, (a, b, c) in calls.items()
        for n in checks.MEASURED
    }
    header, opening, closing, _, together = checks.rounds(snapshot)
    assert header.split() == ["call", "a", "b", "c", "256", "300", "1,000", "4,096", "10,000"]
    assert opening.split() == [
        "open",
        "100",
        "7.0",
        "0.5000",
        "34,660",
        "47,200",
        "507,100",
        "8,417,380",
        "50,070,100",
    ]
    assert closing.split()[-1] == "20,009"
    assert together.split()[-1] == "50,090,114"


def test_the_shipped_snapshot_fits_a_round_of_4096_into_a_block() -> None:
    snapshot = json.loads((ROOT / "contracts" / "gas-snapshot.json").read_text())
    assert max(int(gas) for name, gas in snapshot.items() if "4,096" in name) < 30_000_000
    assert len(checks.rounds(snapshot)) == 5
