"""The lines of ``metrics.jsonl``: what became of each finalized round, typed.

The coordinator writes a line a round, a resumed run writes those that are missing, the audit holds them to
the ledger, and reports and tables are made from them; all of them through :class:`RoundLine`. The file under
them is :class:`fedcxr.store.metrics_file.MetricsFile`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedcxr import json_text
from fedcxr.errors import StoreError
from fedcxr.evaluation.scores import Evaluation, explain
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update.metrics import HospitalMetrics

_WHERE_KNOWN = ("parts", "work", "seeds", "withheld")  # fields that a line has only where they say something
Count = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class HospitalLine(BaseModel):
    """One hospital in a round's line: its address, and what it signed of its training.

    The fields are those of :class:`~fedcxr.update.metrics.HospitalMetrics`, in its order. What else a line
    holds is kept, so that the audit can hold all of it to what was signed.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    address: str = ""
    salt: str = ""
    images: Count
    passes: Count
    steps: Count = 0
    seconds: Number
    protect_seconds: Number = 0.0
    loss: Number | None = None
    terms: Mapping[str, Number] = Field(default_factory=dict)
    saturated: Count
    format: str = ""
    privacy: Mapping[str, Number] | None = None

    @classmethod
    def of(cls, address: str, metrics: HospitalMetrics) -> HospitalLine:
        """The line's entry of a hospital."""
        return cls(address=address, **metrics.tree)

    @property
    def signed(self) -> dict[str, Any]:
        """Every field that the line gave, but the address; no default."""
        return {k: v for k, v in dict(self).items() if k in self.model_fields_set and k != "address"}


class RoundLine(BaseModel):
    """One line of ``metrics.jsonl``.

    Attributes:
        round: from 1.
        model: digest of the released model, hex.
        seconds: wall time of the round; ``ledger_seconds`` and ``verify_seconds`` are parts of it. These and
            the next three are None where a coordinator died before it wrote them down.
        parts: the coordinator's seconds by what it did, evaluation with them; their sum is its wall time.
        work: seconds of all hospitals together, by what they did before they replied: ``training``,
            ``protecting``, and ``checking`` the model that they were handed and the chain. Nobody signs them.
        bytes_up, bytes_down: of all hospitals.
        gas: by kind of call; the first round's also has the deployment and the registrations.
        included: hospitals' addresses whose updates are in the model.
        excluded: addresses accepted by the contract and left out, and why.
        hospitals: by name.
        evaluation: of the released model; None where there is nothing to evaluate on.
        seeds: of a masked round, the Merkle root under which the store has the seeds of its masks, hex; empty
            where nothing was masked.
        withheld: names of the labels whose rows nobody moved, for too few hospitals have the label.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    round: Annotated[int, Field(strict=True, ge=1, lt=2**63)]
    model: str
    seconds: Number | None = None
    ledger_seconds: Number | None = None
    verify_seconds: Number | None = None
    bytes_up: Count | None = None
    bytes_down: Count | None = None
    parts: Mapping[str, Number] = Field(default_factory=dict)
    work: Mapping[str, Number] = Field(default_factory=dict)
    gas: Mapping[str, Count] | None = None
    included: tuple[str, ...] = ()
    excluded: Mapping[str, str] = Field(default_factory=dict)
    hospitals: Mapping[str, HospitalLine] = Field(default_factory=dict)
    evaluation: Evaluation | None = None
    seeds: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    withheld: tuple[str, ...] = ()

    @property
    def passes(self) -> int:
        """Image passes of all hospitals."""
        return sum(hospital.passes for hospital in self.hospitals.values())

    @property
    def shares(self) -> dict[str, float]:
        """What share of the round's time went where, largest first; they sum to 1, and none where unknown.

        While the coordinator waits, hospitals work: the time of waiting is theirs, each part in proportion
        to its sum over the hospitals; what their work does not fill stays ``waiting``.
        """
        whole = sum(self.parts.values())
        if whole <= 0:
            return {}
        waiting, done = self.parts.get("waiting", 0.0), sum(self.work.values())
        filled = min(1.0, waiting / done) if done > 0 else 0.0
        seconds = dict(self.parts) | {part: filled * spent for part, spent in self.work.items()}
        seconds["waiting"] = waiting - filled * done
        largest = sorted(seconds.items(), key=lambda item: -item[1])
        return {part: spent / whole for part, spent in largest if spent > 0}

    def to_tree(self) -> dict[str, Any]:
        """The line as JSON has it; what nobody measured is null."""
        hospitals = {name: {"address": h.address, **h.signed} for name, h in self.hospitals.items()}
        tree = {
            **dict(self),
            "included": list(self.included),
            "excluded": dict(self.excluded),
            "withheld": list(self.withheld),
            "hospitals": hospitals,
            "evaluation": None if self.evaluation is None else self.evaluation.to_dict(),
        }
        return {key: value for key, value in tree.items() if value or key not in _WHERE_KNOWN}

    @classmethod
    def from_tree(cls, tree: object, where: str) -> RoundLine:
        """Read :meth:`to_tree` back.

        Args:
            tree: anything that JSON can hold.
            where: the place of the line, for the error.

        Raises:
            StoreError: it is no round's line; names the field.
        """
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise StoreError(f"{where}: {explain(error)}") from None


@dataclass(frozen=True)
class FaultyLine:
    """A line that names a round, and is otherwise not what a round's line is.

    Attributes:
        round: that it names.
        field: the first one that is wrong, with dots between the levels.
        fault: what is wrong with it.
        tree: the line as JSON has it.
    """

    round: int
    field: str
    fault: str
    tree: Mapping[str, Any]


def parse_line(text: bytes) -> RoundLine | FaultyLine:
    """Read one line of the file, whoever wrote it.

    Raises:
        ValueError: it is not JSON, nests too deep, or names no round.
    """
    tree = json_text.parse(text)
    try:
        named = int(tree["round"])
    except (TypeError, KeyError, OverflowError) as error:
        raise ValueError(str(error)) from None
    try:
        return RoundLine.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return FaultyLine(named, ".".join(map(str, first["loc"])), first["msg"], tree)


def read_rounds(run: RunDirectory) -> tuple[RoundLine, ...]:
    """The finalized rounds of a run, in order; none before the first.

    Raises:
        StoreError: a line is not a round's; names line and field.
    """
    return _typed(run, run.metrics.read())


def write_round(run: RunDirectory, line: RoundLine) -> None:
    """Put a round's line in its place, instead of whatever is there; all other lines keep their bytes.

    Raises:
        StoreError: it cannot be written.
    """
    run.metrics.put(line.to_tree())


def _typed(run: RunDirectory, trees: Sequence[Mapping[str, Any]]) -> tuple[RoundLine, ...]:
    where = f"{run.metrics.path}, line"
    return tuple(RoundLine.from_tree(tree, f"{where} {place}") for place, tree in enumerate(trees, start=1))
