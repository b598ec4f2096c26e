"""What a hospital's frequencies make of a teacher's word, with labels that depend on each other."""

import numpy as np
import pytest
import torch

from fedcxr.config import Config, validate
from fedcxr.data.examples import Examples
from fedcxr.data.labels import LABELS
from fedcxr.models.network import ModelOutput
from fedcxr.training.objectives.consistency import Consistency
from fedcxr.training.objectives.term import TermContext, TermInput
from fedcxr.training.preparation import Ready

PARENT, CHILD = LABELS.index("Enlarged Cardiomediastinum"), LABELS.index("Cardiomegaly")
SURE = 20.0  # a logit


@pytest.fixture
def config() -> Config:
    return validate(
        {
            "name": "t",
            "data": {"root": "x", "blank": "ignore", "size": 32},
            "model": {"name": "compact", "labels": "conditional"},
            "training": {"consistency_weight": 1.0, "consistency_threshold": 0.6},
        },
        where="test",
    )


@pytest.fixture
def examples() -> Examples:
    """In CheXpert's proportions: cases are named, and a parent is denied more often than its child.

    An enlarged heart implies the parent: it is there in 141 of 191 images that say so, and of these 121 have
    the child and 20 have not; 30 deny the child and say nothing of the parent.
    """
    rows = [(1.0, 1.0)] * 121 + [(1.0, 0.0)] * 20 + [(0.0, None)] * 50 + [(None, 0.0)] * 30
    targets, mask = np.zeros((len(rows), 14), np.float32), np.zeros((len(rows), 14), np.bool_)
    for row, pair in enumerate(rows):
        for column, value in zip((PARENT, CHILD), pair, strict=True):
            if value is not None:
                targets[row, column], mask[row, column] = value, True
    images = np.zeros((1, 32, 32), np.uint8)
    return Examples(images, np.zeros(len(rows), np.int64), targets, mask)


def asked(parent: bool) -> Ready:
    """One image of which the child is open, whose parent is there or open too."""
    targets, mask = torch.zeros(1, 14), torch.zeros(1, 14, dtype=torch.bool)
    if parent:
        targets[0, PARENT], mask[0, PARENT] = 1.0, True
    openly = torch.zeros(1, 14, dtype=torch.bool)
    openly[0, CHILD] = True
    one = torch.zeros(1, dtype=torch.int64)
    return Ready(torch.zeros(2, 1, 32, 32), None, targets, mask, mask, openly, one, one, {})


@pytest.mark.parametrize(("parent", "frequency"), [(True, 121 / 141), (False, 121 / 171)])
def test_a_child_is_held_against_those_like_it(
    config: Config, examples: Examples, parent: bool, frequency: float
) -> None:
    term = Consistency(TermContext(config, examples, torch.device("cpu"), {}, torch.nn.Module(), {}))
    student = ModelOutput(torch.zeros(1, 14), torch.empty(1, 0))

    def loss(said: float) -> float:
        """Of a teacher that is sure of an open parent, and says ``said`` of the child."""
        taught = torch.full((1, 14), SURE)
        taught[0, CHILD] = np.log(said / (1 - said))
        return term(TermInput(asked(parent), student, ModelOutput(taught, torch.empty(1, 0)))).item()

    gained = np.log(0.6 / 0.4)
    bar = np.log(frequency / (1 - frequency))
    for sign in (1, -1):
        within = 1 / (1 + np.exp(-(bar + sign * 0.9 * gained)))
        beyond = 1 / (1 + np.exp(-(bar + sign * 1.1 * gained)))
        assert loss(within) == 0.0
        assert loss(beyond) > 0.1
