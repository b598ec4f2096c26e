"""The scores of an evaluation: typed, frozen, and the same after a trip through JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from fedcxr.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure and its 95 % percentile bootstrap interval over patients.

    Attributes:
        value: None where it is undefined.
        low, high: None without an interval: undefined, or too few resamples counted.
        resamples: how many counted, those in which the figure is defined.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    value: float | None = None
    low: float | None = None
    high: float | None = None
    resamples: int = 0


@dataclass(frozen=True, kw_only=True)
class LabelScore(Estimate):
    """The AUROC of one label, and the studies that it is over.

    Attributes:
        label: its name.
        positives, negatives: studies; uncertain and blank ones are in neither.
        positive_patients, negative_patients: whose studies these are; who has both is in both. None in a
            record that was made before they were counted.
    """

    label: str
    positives: int
    negatives: int
    positive_patients: int | None = None
    negative_patients: int | None = None

    @property
    def fewest(self) -> int:
        """The number of patients of the class that has fewer, which bounds what resampling can say.

        Studies, where patients were not counted: there are no more patients than these.
        """
        positive = self.positives if self.positive_patients is None else self.positive_patients
        negative = self.negatives if self.negative_patients is None else self.negative_patients
        return min(positive, negative)

    @property
    def undefined(self) -> str:
        """Why there is no AUROC; empty where there is one."""
        return lacking(self.positives, self.negatives)


def lacking(positives: int, negatives: int) -> str:
    """Say which class of studies is missing; empty where both classes are there."""
    if not positives and not negatives:
        return "no study with this label known"
    if not positives:
        return "no positive study"
    return "" if negatives else "no negative study"


@dataclass(frozen=True, kw_only=True)
class MeanScore(Estimate):
    """The unweighted mean AUROC over the labels that have one.

    Attributes:
        labels: those averaged. A resample counts when all of them are defined in it.
        of: how many were asked for.
    """

    labels: tuple[str, ...]
    of: int


@dataclass(frozen=True)
class Scores:
    """The scores of one model on one set of studies.

    Attributes:
        images, studies: what was scored.
        labels: all 14, in CheXpert's order.
        competition: mean over the five competition tasks.
        macro: mean over all labels that are defined.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    images: int
    studies: int
    labels: tuple[LabelScore, ...]
    competition: MeanScore
    macro: MeanScore

    def label(self, name: str) -> LabelScore:
        """The score of a label of :data:`fedcxr.data.labels.LABELS`."""
        return next(score for score in self.labels if score.label == name)


@dataclass(frozen=True)
class Evaluation(Scores):
    """The scores of one model on a validation set, whole and hospital by hospital.

    Attributes:
        bootstrap: resamples drawn; 0: no intervals.
        hospitals: each on its own studies, with intervals of its own.
    """

    bootstrap: int = 0
    hospitals: Mapping[str, Scores] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is undefined is None, never NaN."""
        return asdict(self)

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Evaluation:
        """Read :meth:`to_dict` back.

        Raises:
            DataError: it is no evaluation; names the field.
        """
        try:
            return _ADAPTER.validate_python(tree)
        except ValidationError as error:
            raise DataError(f"not an evaluation: {explain(error)}") from None

    def to_json(self) -> str:
        """One line of JSON."""
        return _ADAPTER.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Evaluation:
        """Read :meth:`to_json` back.

        Raises:
            DataError: it is no evaluation; names the field.
        """
        try:
            return _ADAPTER.validate_json(text)
        except ValidationError as error:
            raise DataError(f"not an evaluation: {explain(error)}") from None


def explain(error: ValidationError) -> str:
    """Describe the first fault that pydantic found: the field, and what is wrong with it."""
    fault = error.errors()[0]
    return f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}"


_ADAPTER = TypeAdapter(Evaluation)
