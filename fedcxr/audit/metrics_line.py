"""``metrics.jsonl`` against the ledger: what of a round's line follows from it.

That is the model's digest, who is in it and who is not, and what each hospital signed of its training. Times,
bytes, gas and scores are the coordinator's own word, and are not proven by anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedcxr import bounded
from fedcxr.audit.findings import AuditReport
from fedcxr.errors import StoreError
from fedcxr.ledger.protocol import RoundView
from fedcxr.round_lines import FaultyLine, RoundLine, parse_line
from fedcxr.store.metrics_file import LONGEST, LONGEST_LINE
from fedcxr.update.metrics import HospitalMetrics

_SHOWN = 20  # lines that are none; a file of something else would give thousands
Difference = tuple[str, str, str, str]  # where, expected, found, hospital


def read_lines(path: Path, last: int, report: AuditReport) -> dict[int, RoundLine | FaultyLine]:
    """The lines of finalized rounds by round.

    A line that is none, or of another round, is a finding, unless a crash cut the last one short.

    Args:
        path: of the file.
        last: the last finalized round.
        report: of the audit.
    """
    lines: dict[int, RoundLine | FaultyLine] = {}
    bad = 0
    try:
        for place, text in enumerate(bounded.lines(path, LONGEST, LONGEST_LINE), start=1):
            difference = _take(text, lines, last)
            bad += difference is not None
            if difference is not None and bad <= _SHOWN:
                where = path.name if difference[0].startswith("rounds") else f"{path.name} line {place}"
                report.find(where, *difference)
    except FileNotFoundError:
        return {}
    except (OSError, StoreError) as error:
        report.find(path.name, "a line for each round", str(error))
    if bad > _SHOWN:
        report.find(path.name, "a line for each round", f"{bad - _SHOWN:,} more lines that are none")
    return lines


def _take(text: bytes, lines: dict[int, RoundLine | FaultyLine], last: int) -> tuple[str, str] | None:
    """Take a line in; what it should be and is instead, where it is no round's only line."""
    whole = text.removesuffix(b"\n")
    if len(whole) > LONGEST_LINE:
        return "a round's metrics", f"more than {LONGEST_LINE:,} bytes"
    try:
        line = parse_line(whole)
    except ValueError as error:
        return ("a round's metrics", str(error)) if whole != text else None  # a crash cut it short
    if not 1 <= line.round <= last:
        return f"rounds 1 to {last}", f"a line of round {line.round}"
    again = line.round in lines
    lines[line.round] = line
    return (f"one line of round {line.round}", "a second one") if again else None


def seeds_named(lines: Mapping[int, RoundLine | FaultyLine] | None, number: int) -> str | None:
    """The root of a masked round's seeds, hex, by its line: empty where there is none; None without lines."""
    if lines is None:
        return None
    line = lines.get(number)
    if not isinstance(line, FaultyLine):
        return "" if line is None else line.seeds
    said = line.tree.get("seeds")
    return said if isinstance(said, str) and re.fullmatch(r"[0-9a-f]{64}", said) else ""


def differences(
    line: RoundLine | FaultyLine,
    view: RoundView,
    metrics: Mapping[str, HospitalMetrics],
    withheld: Sequence[str] | None = None,
) -> Iterator[Difference]:
    """Where a round's line is not what the ledger, and what it names, say: metrics, and withheld labels.

    A line with a fault is held to all of it nevertheless: a fault must not hide a lie.
    """
    if not isinstance(line, FaultyLine):
        yield from _compared(line.to_tree(), view, metrics, withheld)
        return
    found = list(_compared(line.tree, view, metrics, withheld))
    where = f"metrics.jsonl {line.field}"
    if where not in {difference[0] for difference in found}:
        yield where, "a round's metrics", line.fault, ""
    yield from found


def _compared(
    tree: Mapping[str, Any],
    view: RoundView,
    metrics: Mapping[str, HospitalMetrics],
    withheld: Sequence[str] | None,
) -> Iterator[Difference]:
    if withheld is not None and (said := tree.get("withheld", [])) != list(withheld):
        yield "metrics.jsonl withheld", str(list(withheld)), str(said), ""
    for what, expected in (
        ("model", view.model_digest.hex()),
        ("included", sorted(view.included)),
        ("excluded", dict(view.excluded)),
    ):
        if tree.get(what) != expected:
            yield f"metrics.jsonl {what}", str(expected), str(tree.get(what)), ""
    hospitals = tree.get("hospitals")
    if not isinstance(hospitals, dict):
        yield "metrics.jsonl hospitals", "each hospital's metrics", str(hospitals), ""
        return
    told: set[str] = set()
    for name, entry in hospitals.items():
        told_of = dict(entry) if isinstance(entry, dict) else {}
        address = str(told_of.pop("address", ""))
        told.add(address)
        if address not in view.participants:
            yield f"metrics.jsonl hospitals.{name}.address", "a participant", address, ""
        elif address in metrics:  # what the contract rejected stands here too, and is on no ledger
            signed = metrics[address].tree
            for key in sorted(signed.keys() | told_of.keys()):
                if signed.get(key) != told_of.get(key):
                    where = f"metrics.jsonl hospitals.{name}.{key}"
                    yield where, str(signed.get(key)), str(told_of.get(key)), address
    for address in sorted(metrics.keys() - told):
        yield "metrics.jsonl hospitals", "what it signed of its training", "nothing", address
