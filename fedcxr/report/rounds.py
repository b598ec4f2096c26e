"""The rounds of a run as ``metrics.jsonl`` has them, typed, and their table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from fedcxr.errors import StoreError
from fedcxr.evaluation.scores import Evaluation, explain
from fedcxr.report.tables import Table, figure
from fedcxr.store.run_directory import RunDirectory


class HospitalRecord(BaseModel):
    """What is read of a hospital's signed metrics of one round."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    images: int
    passes: int
    seconds: float
    loss: float
    saturated: int


class RoundRecord(BaseModel):
    """One line of ``metrics.jsonl``.

    Attributes:
        round: from 1.
        model: digest of the released model, hex.
        seconds: wall time of the round; ``ledger_seconds`` and ``verify_seconds`` are parts of it. These and
            the next three are None where a coordinator died before it wrote them down.
        bytes_up, bytes_down: of all hospitals.
        gas: by kind of call; the first round's also has the deployment and the registrations.
        included: hospitals' addresses whose updates are in the model.
        excluded: addresses accepted by the contract and left out, and why.
        hospitals: by name.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    round: int
    model: str
    seconds: float | None
    ledger_seconds: float | None
    verify_seconds: float | None
    bytes_up: int | None
    bytes_down: int | None
    gas: Mapping[str, int] | None
    included: tuple[str, ...]
    excluded: Mapping[str, str]
    hospitals: Mapping[str, HospitalRecord]
    evaluation: Evaluation | None

    @property
    def passes(self) -> int:
        """Image passes of all hospitals."""
        return sum(hospital.passes for hospital in self.hospitals.values())


def read_rounds(run: RunDirectory) -> tuple[RoundRecord, ...]:
    """The finalized rounds of a run, in order; none before the first.

    Raises:
        StoreError: a line is not a round's; names line and field.
    """
    records = []
    for number, line in enumerate(run.read_metrics(), start=1):
        try:
            records.append(RoundRecord.model_validate(line))
        except ValidationError as error:
            raise StoreError(f"{run.metrics_path}, line {number}: {explain(error)}") from None
    return tuple(records)


def round_table(records: Sequence[RoundRecord]) -> Table:
    """One row a round: its figures, its time, its bytes and its gas."""
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


def _costs(record: RoundRecord) -> tuple[str, str, str, str, str]:
    """Time, bytes and gas of a round; dashes where they were lost."""
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
