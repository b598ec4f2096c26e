"""The model that the federation starts from, made again from its configuration, seed and pretrained weights.

A first model that somebody planted can be made to leak what hospitals train on, or hold what none of them
taught it. The pretrained weights are in the store, under the digest in the configuration, whose own digest is
on the ledger. Nothing is fetched, and no file is opened that a configuration names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from fedcxr.audit.evidence import Evidence
from fedcxr.audit.findings import FIRST_MODEL, AuditReport
from fedcxr.config import Config
from fedcxr.errors import ConfigError, FedcxrError, LayoutError, ModelError, StoreError
from fedcxr.models.initial import draws_as_ever
from fedcxr.models.registry import count_values
from fedcxr.models.weights import read_weights
from fedcxr.training.first_model import (
    LONGEST_WEIGHTS,
    FirstModel,
    farthest,
    read_weights_data,
    weights_digest,
    within_rounding,
)
from fedcxr.update import merkle
from fedcxr.update.layout import MOST_VALUES, Vector


def check_first_model(evidence: Evidence, config: Config | None, pretrained: Path | None) -> Vector | None:
    """Make the first model again and hold the ledger's to it.

    Args:
        evidence: what the audit goes by.
        config: the federation's; None where nobody has it.
        pretrained: the reader's file of the weights that it starts from; None to look for them in the store.

    Returns:
        The model with the ledger's digest, from where it is kept or from here; None when nothing has it.
    """
    report, digest, there = evidence.report, evidence.ledger.genesis_digest, evidence.genesis()
    try:
        if config is None:
            raise ConfigError("the configuration is not at hand: --config FILE gives it")
        made = _made(evidence, config, pretrained)
    except (FedcxrError, OSError, RuntimeError) as error:
        report.unchecked.append(f"{FIRST_MODEL}it was not made again: {error}")
        return there
    assert evidence.layout is not None
    if there is None and (found := merkle.root(made.vector.astype("<f4", copy=False))) != digest:
        report.unchecked.append(f"{FIRST_MODEL}it is not at hand, and what is made here is {found.hex()}")
        return None
    there = made.vector if there is None else there
    if made.layout.tensors != evidence.layout.tensors:
        report.find("layout", "the tensors of the configuration's model", "others", 0)
        return there
    _hold("first model", farthest(made.vector, there), config, report)
    try:
        _hold("tensors that no round trains", _frozen_distance(evidence, made), config, report)
    except StoreError as error:
        report.unchecked.append(f"{FIRST_MODEL}the tensors that no round trains: {error}")
    return there


def _hold(what: str, far: float, config: Config, report: AuditReport) -> None:
    """Report on weights of which a value is so far from what is made here."""
    if far == 0.0:
        return
    if within_rounding(far):
        report.notes.append(f"{what}: as made again here, but for rounding (a value is off by {far:.3g})")
    elif config.model.pretrained and not config.model.pretrained_digest:
        whose = "which pretrained weights are meant, the configuration says by no digest"
        report.unchecked.append(f"{FIRST_MODEL}it is not what is made here; {whose}")
    elif not draws_as_ever():
        report.unchecked.append(f"{FIRST_MODEL}torch here draws other numbers from a seed than fedcxr's")
    else:
        found = f"another; a value is off by {far:.3g}"
        report.find(what, "what the configuration and its seed give", found, 0)


def _made(evidence: Evidence, config: Config, pretrained: Path | None) -> FirstModel:
    """Raises FedcxrError where it cannot be made here."""
    if evidence.layout is None:
        raise LayoutError("the layout is not at hand")
    if (values := count_values(config.model)) > MOST_VALUES:
        raise ModelError(f"a model of {values:,} values, where at most {MOST_VALUES:,} are made")
    return FirstModel.of(config, _weights(evidence, config, pretrained))


def _weights(evidence: Evidence, config: Config, pretrained: Path | None) -> Mapping[str, Tensor] | None:
    """The pretrained weights, of the reader's file or from the store; None where there are none.

    Raises:
        StoreError: they are not at hand.
        ModelError: they cannot be read, or are not those of the configuration.
    """
    named = config.model.pretrained_digest
    if named:
        evidence.named.add(bytes.fromhex(named))
    if not config.model.pretrained:
        return None
    if pretrained is None:
        if not named:
            raise StoreError("its pretrained weights are not at hand: --pretrained FILE gives them")
        return read_weights_data(evidence.store.get(bytes.fromhex(named), LONGEST_WEIGHTS).tobytes())
    tensors = read_weights(pretrained)
    if named and (found := weights_digest(tensors)) != named:
        raise ModelError(f"--pretrained {pretrained}: {found}, and the configuration names {named}")
    return tensors


def _frozen_distance(evidence: Evidence, made: FirstModel) -> float:
    """How far the tensors that no round trains are from those made here.

    Raises:
        StoreError: the store does not have them.
    """
    assert evidence.layout is not None
    if made.layout.frozen == evidence.layout.frozen:
        return 0.0
    if not evidence.layout.frozen or not made.layout.frozen:
        return float("inf")
    data = evidence.store.get(bytes.fromhex(evidence.layout.frozen), 4 * MOST_VALUES)
    if data.nbytes % 4:
        return float("inf")
    return farthest(made.frozen, np.frombuffer(data, "<f4").astype(np.float32, copy=False))
