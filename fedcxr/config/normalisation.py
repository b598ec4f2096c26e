"""What a value of ``model.norm`` means for a federation; :mod:`fedcxr.models.norm` has its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

NormName = Literal["shared", "local", "frozen", "group"]


@dataclass(frozen=True)
class Normalisation:
    """What follows from a normalisation policy for whoever shares, judges, scores or releases a model.

    Attributes:
        name: the value of ``model.norm``.
        one_model: whether a released model is whole, the same for all hospitals. Where it is not, each
            hospital keeps normalisation layers of its own: only with a hospital's are images predicted and
            scored, and no committee can judge an update.
        averages_statistics: whether running statistics are part of an update, so that a last round can be
            for them alone.
        wants_pretrained: whether the weights must come with statistics, from ``model.pretrained``.
    """

    name: NormName
    one_model: bool = True
    averages_statistics: bool = False
    wants_pretrained: bool = False


NORMALISATIONS: Mapping[NormName, Normalisation] = {
    each.name: each
    for each in (
        Normalisation("shared", averages_statistics=True),
        Normalisation("local", one_model=False),
        Normalisation("frozen", wants_pretrained=True),
        Normalisation("group"),
    )
}
"""The policies that a configuration can name."""
