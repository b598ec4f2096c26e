"""The two sets of labels that predictions are written and scored for."""

from __future__ import annotations

from typing import Literal

from fedcxr.errors import ConfigError
from fedcxr.evaluation.competition.assessment import TASKS
from fedcxr.spelling import suggestion

LabelSet = Literal["competition", "all"]
"""``competition``: the five that CheXpert's competition scores; ``all``: the 14."""


def labels_of(label_set: LabelSet) -> tuple[str, ...]:
    """The labels of a set, in CheXpert's order.

    Raises:
        ConfigError: there is no such set.
    """
    if label_set not in TASKS:
        raise ConfigError(
            f"labels = {label_set!r}: allowed are {' and '.join(TASKS)}.{suggestion(str(label_set), TASKS)}"
        )
    return TASKS[label_set]
