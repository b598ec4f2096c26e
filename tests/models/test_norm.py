"""The two halves of a normalisation policy: what it means for a federation, and what it does to layers."""

from typing import get_args

import pytest

from fedcxr.config import NORMALISATIONS, Model, NormName
from fedcxr.models.norm import NORM_POLICIES
from fedcxr.models.registry import build_model


@pytest.mark.parametrize("name", get_args(NormName))
def test_what_is_said_of_a_policy_is_true_of_the_layers_that_it_builds(name: NormName) -> None:
    settings = Model(name="compact", norm=name)
    model = build_model(settings)
    local = NORM_POLICIES[name].local_tensors(model)
    averaged = {n for n in model.state_dict() if n.endswith("running_mean")} - local
    assert settings.normalisation.one_model == (not local)
    trains_statistics = any(
        module.training and hasattr(module, "running_mean") for module in model.train().modules()
    )
    assert settings.normalisation.averages_statistics == (bool(averaged) and trains_statistics)


def test_every_policy_has_both_halves() -> None:
    assert set(get_args(NormName)) == NORM_POLICIES.keys() == NORMALISATIONS.keys()
    assert all(each.name == name for name, each in NORMALISATIONS.items())
