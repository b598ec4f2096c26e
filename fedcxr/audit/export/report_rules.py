"""What the report in an export cannot say, whoever signed it: its verdicts follow from its own lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fedcxr.audit.chain.proof import ChainProof
from fedcxr.audit.findings import is_of_an_unknown
from fedcxr.audit.memory import finding_of
from fedcxr.errors import StoreError

_FORM: Mapping[str, type] = {
    **dict.fromkeys(("federation", "contract", "released"), str),
    **dict.fromkeys(("rounds", "updates", "bytes"), int),
    **dict.fromkeys(("findings", "unchecked", "notes"), list),
}


def require_form(report: Any) -> None:
    """See that a report has what every report has: its signer may have written anything.

    Raises:
        StoreError: it has not.
    """
    if not isinstance(report, dict):
        raise StoreError("audit.json: there is no report.")
    for name, kind in _FORM.items():
        if type(report.get(name)) is not kind:
            raise StoreError(f"audit.json: the report's {name} are no {kind.__name__}.")
    if not all(isinstance(line, str) for line in (*report["unchecked"], *report["notes"])):
        raise StoreError("audit.json: what is unchecked, or noted, is in words.")
    try:
        for row in report["findings"]:
            finding_of(row)
    except (ValueError, TypeError) as error:
        raise StoreError(f"audit.json: a finding that is none: {error!s:.200}") from None


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
