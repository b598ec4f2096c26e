"""The table of a run's rounds."""

from __future__ import annotations

from collections.abc import Sequence

from fedcxr.report.tables import Table, figure
from fedcxr.round_lines import RoundLine


def round_table(records: Sequence[RoundLine]) -> Table:
    """The table of rounds, a row each: scores, time, bytes and gas."""
    rows = []
    for record in records:
        evaluation = record.evaluation
        left_out = f" (−{len(record.excluded)})" if record.excluded else ""
        rows.append(
            (
                str(record.round),
                f"{len(record.included)}{left_out}",
                figure(evaluation.macro) if evaluation else "not evaluated",
                figure(evaluation.competition) if evaluation else "not evaluated",
                *_costs(record),
            )
        )
    return Table(
        title="Every round",
        header=(
            "round",
            "updates",
            "mean AUROC",
            "mean of five tasks",
            "seconds",
            "ledger and verifying, s",
            "MB up",
            "MB down",
            "gas",
        ),
        rows=tuple(rows),
        notes=(
            "Bytes are those of all hospitals together; 1 MB is 10⁶ bytes. "
            "The first round's gas has the contract's deployment and the registrations in it; a round that "
            "was interrupted and continued lacks what was spent before.",
        ),
    )


def _costs(record: RoundLine) -> tuple[str, str, str, str, str]:
    """The cells of a round's time, bytes and gas; dashes where a crash lost them."""
    if (
        record.seconds is None
        or record.ledger_seconds is None
        or record.verify_seconds is None
        or record.bytes_up is None
        or record.bytes_down is None
        or record.gas is None
    ):
        return ("–", "–", "–", "–", "–")
    return (
        f"{record.seconds:,.1f}",
        f"{record.ledger_seconds + record.verify_seconds:,.2f}",
        f"{record.bytes_up / 1e6:,.1f}",
        f"{record.bytes_down / 1e6:,.1f}",
        f"{sum(record.gas.values()):,}",
    )
