"""``metrics.jsonl`` against the ledger: what of a round's line follows from it.

That is the model's digest, who is in it and who is not, and what each hospital signed of its training. Times,
bytes, gas and scores are the coordinator's own word, and are not proven by anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from fedcxr import json_text
from fedcxr.audit.findings import AuditReport
from fedcxr.ledger.protocol import RoundView
from fedcxr.update.metrics import HospitalMetrics

Difference = tuple[str, str, str, str]  # where, expected, found, hospital


def read_lines(path: Path, report: AuditReport) -> dict[int, dict[str, object]]:
    """The lines by round; a line that is none is a finding, unless a crash cut the last one short."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        report.find(path.name, "a line for each round", str(error))
        return {}
    lines: dict[int, dict[str, object]] = {}
    texts = data.split(b"\n")
    for number, text in enumerate(texts, start=1):
        if not text and number == len(texts):
            break
        try:
            line = json_text.parse(text)
            if (of := int(line["round"])) in lines:
                report.find(f"{path.name} line {number}", f"one line of round {of}", "a second one")
            lines[of] = line
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            if number < len(texts):
                report.find(f"{path.name} line {number}", "a round's metrics", str(error))
    return lines


def differences(
    line: object, view: RoundView, metrics: Mapping[str, HospitalMetrics]
) -> Iterator[Difference]:
    """Where a round's line is not what the ledger, and the metrics that it names, say."""
    tree = line if isinstance(line, dict) else {}
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
    told: set[object] = set()
    for name, entry in hospitals.items():
        address = entry.get("address") if isinstance(entry, dict) else None
        told.add(address)
        if address not in view.participants:
            yield f"metrics.jsonl hospitals.{name}.address", "a participant", str(address), ""
        elif address in metrics:  # what the contract rejected stands here too, and is on no ledger
            signed = asdict(metrics[address])
            found = {key: value for key, value in entry.items() if key != "address"}
            for key in sorted(signed.keys() | found.keys()):
                if signed.get(key) != found.get(key):
                    where = f"metrics.jsonl hospitals.{name}.{key}"
                    yield where, str(signed.get(key)), str(found.get(key)), address
    for address in sorted(set(metrics) - told):
        yield "metrics.jsonl hospitals", "what it signed of its training", "nothing", address
