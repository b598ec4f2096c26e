"""The first model is held against the configuration's once for one digest, and for every other one again."""

from __future__ import annotations

import numpy as np
import pytest
from founded import Founded

import clients.first_model
from clients.first_model import check_first_model
from clients.hospital import Hospital
from fedcxr.errors import RuleError
from fedcxr.training.first_model import FirstModel
from fedcxr.update import merkle


@pytest.fixture(autouse=True)
def nothing_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients.first_model, "_passed", [])


def test_one_digest_is_held_against_a_first_model_once_and_another_one_again(
    founded: Founded, participant: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[FirstModel] = []
    of = FirstModel.of

    def watched(*arguments: object) -> FirstModel:
        made.append(of(*arguments))  # type: ignore[arg-type]
        return made[-1]

    base = of(founded.config).vector
    planted = base + np.float32(1e-3)
    monkeypatch.setattr(FirstModel, "of", watched)
    for hospital in (participant, Hospital(participant.disk)):
        check_first_model(hospital.member, base, merkle.root(base))
    assert len(made) == 1
    for hospital in (participant, Hospital(participant.disk)):
        with pytest.raises(RuleError, match="the first model is not the one"):
            check_first_model(hospital.member, planted, merkle.root(planted))
    assert len(made) == 3
    check_first_model(participant.member, base, merkle.root(base))
    assert len(made) == 3
