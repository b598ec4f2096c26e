"""What the report in an export cannot say, whoever signed it: its verdicts follow from its own lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fedcxr.audit.chain.proof import ChainProof
from fedcxr.audit.findings import is_of_an_unknown


def report_problems(
    report: Mapping[str, Any], scope: Mapping[str, Any], proof: ChainProof, events: list[dict[str, Any]]
) -> Iterator[str]:
    """What a report says against itself, or against the events that it came with."""
    finalized = [e["values"] for e in events if e["event"] == "RoundFinalized"]
    created = [e["values"] for e in events if e["event"] == "FederationCreated"]
    clean, released = not report["findings"], report["released"]
    whole = scope == {"first": 1, "last": None, "hospital": ""}
    rules = (
        (report["contract"] == proof.contract, "another contract than the chain's"),
        (report["clean"] is clean, "clean, though there are findings, or the reverse"),
        (report["complete"] is (not report["unchecked"]), "complete, though something is unchecked"),
        (report["proven"] in _verdicts(report), "proven, though it is not, or the reverse"),
        (not released or whole, "a released model, though only a part was looked at"),
        (not clean or len(created) == 1, "clean, without one event of the federation's creation"),
        (not clean or not whole or report["rounds"] == len(finalized), "another number of rounds"),
    )
    for holds, what in rules:
        if not holds:
            yield f"audit.json: the report says {what}"
    if clean and created and created[0]["federation"] != "0x" + report["federation"]:
        yield "audit.json: another federation than its creation's"
    if clean and released and (not finalized or finalized[-1]["modelDigest"] != "0x" + released):
        yield "audit.json: a released model that the ledger's last finalized round does not have"


def _verdicts(report: Mapping[str, Any]) -> set[bool]:
    """What a report may say of its model: earlier versions called it proven under an unknown head too."""
    recomputed = not report["findings"] and bool(report["released"])
    return {recomputed, recomputed and not is_of_an_unknown(report["unchecked"])}
