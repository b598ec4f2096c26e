"""``metrics.jsonl`` against the ledger: what of a round's line follows from it.

That is the model's digest, who is in it and who is not, and what each hospital signed of its training. Times,
bytes, gas and scores are the coordinator's own word, and are not proven by anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ValidationError

from fedcxr import json_text
from fedcxr.audit.findings import AuditReport
from fedcxr.ledger.protocol import RoundView
from fedcxr.round_lines import RoundLine
from fedcxr.update.metrics import HospitalMetrics

Difference = tuple[str, str, str, str]  # where, expected, found, hospital


@dataclass(frozen=True)
class Fault:
    """A line that names a round and is not a round's line.

    Attributes:
        field: where its first fault is.
        said: what is wrong there.
    """

    field: str
    said: str


def read_lines(path: Path, report: AuditReport) -> dict[int, RoundLine | Fault]:
    """The lines by round; a line that is none is a finding, unless a crash cut the last one short."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        report.find(path.name, "a line for each round", str(error))
        return {}
    lines: dict[int, RoundLine | Fault] = {}
    texts = data.split(b"\n")
    for number, text in enumerate(texts, start=1):
        if not text and number == len(texts):
            break
        try:
            line = json_text.parse(text)
            if (of := int(line["round"])) in lines:
                report.find(f"{path.name} line {number}", f"one line of round {of}", "a second one")
            lines[of] = _typed(line)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            if number < len(texts):
                report.find(f"{path.name} line {number}", "a round's metrics", str(error))
    return lines


def _typed(tree: dict[str, object]) -> RoundLine | Fault:
    try:
        return RoundLine.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return Fault(".".join(map(str, first["loc"])), first["msg"])


def differences(
    line: RoundLine | Fault, view: RoundView, metrics: Mapping[str, HospitalMetrics]
) -> Iterator[Difference]:
    """Where a round's line is not what the ledger, and the metrics that it names, say."""
    if isinstance(line, Fault):
        yield f"metrics.jsonl {line.field}", "a round's metrics", line.said, ""
        return
    for what, expected, found in (
        ("model", view.model_digest.hex(), line.model),
        ("included", sorted(view.included), list(line.included)),
        ("excluded", dict(view.excluded), dict(line.excluded)),
    ):
        if found != expected:
            yield f"metrics.jsonl {what}", str(expected), str(found), ""
    for name, entry in line.hospitals.items():
        if entry.address not in view.participants:
            yield f"metrics.jsonl hospitals.{name}.address", "a participant", entry.address, ""
        elif entry.address in metrics:  # what the contract rejected stands here too, and is on no ledger
            signed, said = asdict(metrics[entry.address]), entry.signed
            for key in sorted(signed.keys() | said.keys()):
                if signed.get(key) != said.get(key):
                    where = f"metrics.jsonl hospitals.{name}.{key}"
                    yield where, str(signed.get(key)), str(said.get(key)), entry.address
    for address in sorted(metrics.keys() - {entry.address for entry in line.hospitals.values()}):
        yield "metrics.jsonl hospitals", "what it signed of its training", "nothing", address
