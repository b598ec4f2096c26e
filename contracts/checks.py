"""What `contracts/check` holds forge's output against: the artifact, the coverage, the gas snapshot."""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
COVERAGE = 0.95  # of the lines and of the branches of src
GROWTH = 1.05  # that a call's gas may have over the snapshot


MEASURED = (300, 1000, 4096)  # hospitals of the rounds in the snapshot that have several words of seats
SIZES = (256, *MEASURED, 10_000)  # of which a round's gas is told; no federation has so many as the last
SHIPPED = (  # contract, and its two keys in the artifact
    ("FederationLedger", "bytecode", "deployed_bytecode"),
    ("Registry", "registry_bytecode", "registry_deployed"),
)


def check_bytes(made: dict[str, object], artifact: dict[str, object], *keys: str) -> list[str]:
    """Where what forge compiled is not what is shipped under the keys of its two bytecodes."""
    pairs = zip(("bytecode", "deployedBytecode"), keys, strict=True)
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


def rounds(snapshot: dict[str, str]) -> list[str]:
    """The gas of a round under one root by its hospitals n, as a + b n + c n², and what it gives.

    The three constants are those of the measured rounds of 300, 1,000 and 4,096: an opening lists all
    hospitals in memory, whose gas grows with its square.
    """
    lines = [f"{'call':<10}{'a':>10}{'b':>10}{'c':>10}" + "".join(f"{n:>14,}" for n in SIZES)]
    total = dict.fromkeys(SIZES, 0.0)
    for call in ("open", "close", "finalize"):
        (m, p), (n, q), (o, r) = ((size, int(snapshot[f"{call} for {size:,}"])) for size in MEASURED)
        first, second = (q - p) / (n - m), (r - q) / (o - n)
        c = (second - first) / (o - m)
        b = first - c * (m + n)
        a = p - b * m - c * m * m
        given = {size: a + b * size + c * size * size for size in SIZES}
        total = {size: total[size] + given[size] for size in SIZES}
        numbers = "".join(f"{given[size]:>14,.0f}" for size in SIZES)
        lines.append(f"{call:<10}{a:>10,.0f}{b:>10,.1f}{c:>10.4f}{numbers}")
    return [*lines, f"{'together':<40}" + "".join(f"{total[size]:>14,.0f}" for size in SIZES)]


def main(what: str) -> int:
    if what == "bytes":
        shipped = json.loads((HERE.parent / "fedcxr/ledger/artifacts/FederationLedger.json").read_text())
        problems = []
        for name, *keys in SHIPPED:
            made = json.loads((HERE / f"cache/artifact/{name}.sol/{name}.json").read_text())
            problems += check_bytes(made, shipped, *keys)
    elif what == "coverage":
        problems = check_coverage((HERE / "cache/lcov.info").read_text())
    elif what == "gas":
        measured, snapshot = HERE / "cache/gas/gas.json", HERE / "gas-snapshot.json"
        problems = check_gas(json.loads(measured.read_text()), json.loads(snapshot.read_text()))
    elif what == "rounds":
        sys.stdout.writelines(
            f"{line}\n" for line in rounds(json.loads((HERE / "gas-snapshot.json").read_text()))
        )
        problems = []
    elif what == "accept-gas":
        (HERE / "gas-snapshot.json").write_bytes((HERE / "cache/gas/gas.json").read_bytes())
        problems = []
    else:
        problems = [f"{what}: bytes, coverage, gas, rounds, or accept-gas"]
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return len(problems) > 0


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
