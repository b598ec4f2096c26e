"""What `contracts/check` holds forge's output against: the artifact, the coverage, the gas snapshot."""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
COVERAGE = 0.95  # of the lines and of the branches of src
GROWTH = 1.05  # that a call's gas may have over the snapshot


def check_bytes(made: dict[str, object], artifact: dict[str, object]) -> list[str]:
    """Where what forge compiled is not what is shipped."""
    pairs = (("bytecode", "bytecode"), ("deployedBytecode", "deployed_bytecode"))
    return [
        f"{ours}: forge makes other bytes than fedcxr/ledger/artifacts has; run `make contracts`"
        for theirs, ours in pairs
        if made[theirs]["object"] != artifact[ours]  # type: ignore[index]
    ]


def check_coverage(lcov: str) -> list[str]:
    """Which share of src is covered by too little, from forge's lcov report."""
    found = {"LF": 0, "LH": 0, "BRF": 0, "BRH": 0}
    source = ""
    for line in lcov.splitlines():
        key, _, value = line.partition(":")
        if key == "SF":
            source = value
        elif key in found and source.startswith("src/"):
            found[key] += int(value)
    wanted = (("lines", "LH", "LF"), ("branches", "BRH", "BRF"))
    return [
        f"{found[hit]} of {found[all_]} {what} of src are covered; {COVERAGE:.0%} are wanted"
        for what, hit, all_ in wanted
        if found[all_] == 0 or found[hit] < COVERAGE * found[all_]
    ]


def check_gas(measured: dict[str, str], snapshot: dict[str, str]) -> list[str]:
    """Which calls cost too much more than the snapshot says, or are in one of both only."""
    problems = [
        f"{name}: measured, or in gas-snapshot.json, but not both" for name in measured.keys() ^ snapshot
    ]
    for name in sorted(measured.keys() & snapshot):
        gas, before = int(measured[name]), int(snapshot[name])
        if gas > GROWTH * before:
            problems.append(f"{name}: {gas:,} gas, {gas / before - 1:+.1%} over the snapshot's {before:,}")
    return sorted(problems)


def main(what: str) -> int:
    if what == "bytes":
        made = json.loads((HERE / "cache/artifact/FederationLedger.sol/FederationLedger.json").read_text())
        shipped = HERE.parent / "fedcxr/ledger/artifacts/FederationLedger.json"
        problems = check_bytes(made, json.loads(shipped.read_text()))
    elif what == "coverage":
        problems = check_coverage((HERE / "cache/lcov.info").read_text())
    elif what == "gas":
        measured, snapshot = HERE / "cache/gas/gas.json", HERE / "gas-snapshot.json"
        problems = check_gas(json.loads(measured.read_text()), json.loads(snapshot.read_text()))
    elif what == "accept-gas":
        (HERE / "gas-snapshot.json").write_bytes((HERE / "cache/gas/gas.json").read_bytes())
        problems = []
    else:
        problems = [f"{what}: bytes, coverage, gas, or accept-gas"]
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return len(problems) > 0


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
