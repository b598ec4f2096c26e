"""The labels that a hospital has: what it states of them, once, and what it holds a round's list to."""

from __future__ import annotations

import logging

import numpy as np
import torch

from clients.disk import HospitalDisk
from clients.member import Member
from clients.open_round import OpenRound
from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import FederationError, RuleError
from fedcxr.ledger.statements import Labels
from fedcxr.masked_rounds.rare_labels import bits_of, rare_label_breaches
from fedcxr.training.objectives.hierarchy import implied_parents, possible
from fedcxr.update.round_config import RoundConfig

logger = logging.getLogger(__name__)


def labels_of(examples: Examples, config: Config) -> int:
    """The labels that any image has a known value of, as bits; only these images move the label's rows.

    Where labels are conditional, a finding says that its parent is there, and says nothing of itself where
    its parent is known to be absent.
    """
    known = examples.mask
    if config.model.labels == "conditional":
        targets, mask = implied_parents(torch.from_numpy(examples.targets), torch.from_numpy(known))
        known = (mask & possible(targets, mask)).numpy()
    return bits_of(np.flatnonzero(known.any(axis=0)).tolist())


def state_labels(member: Member, examples: Examples) -> Labels:
    """What the hospital states of its labels: what it has stated before, in this federation, if it has.

    Its images may have changed since: a second statement would be another word under the same name.
    """
    labels = labels_of(examples, member.config)
    before = stated_before(member.disk, member.membership.federation)
    if before not in (None, labels):
        logger.warning("other labels have images here now than were stated once; the first statement stands.")
    return Labels(
        bytes.fromhex(member.membership.federation), member.address, labels if before is None else before
    )


def stated_before(disk: HospitalDisk, federation: str) -> int | None:
    """The labels that the hospital has stated by its journals, as bits; None where it has not.

    Raises:
        FederationError: two statements differ: a journal is not as this hospital wrote it.
        StoreError: a journal is damaged.
    """
    found = {one.labels for one in disk.journaled(Labels) if one.federation.hex() == federation}
    if len(found) > 1:
        raise FederationError("the journals have two statements of labels, which this hospital never signs.")
    return next(iter(found), None)


def check_rare_labels(member: Member, asked: OpenRound, round_config: RoundConfig) -> None:
    """See that a round withholds what its participants' statements of labels give, this one's own among them.

    Raises:
        RuleError: it does not; each fault is named.
    """
    withholds, where = member.config.federation.withholds, f"round {asked.number}"
    if asked.ledger is None:
        if withholds or round_config.rare is not None:
            raise RuleError(f"{where}: no ledger says whose labels are rare in it.")
        return
    parts, rare = member.config.privacy.colluder_parts, round_config.rare
    try:
        broken = list(rare_label_breaches(asked.ledger, asked.number, parts, rare, withholds=withholds))
    except FederationError as error:
        raise RuleError(str(error)) from None
    if broken:
        raise RuleError(f"{where}: refused, for the labels: {'; '.join(map(str, broken))}.")
    if rare is None:
        return
    seat = asked.ledger.seat_of(member.address)
    told = [one.labels for one in rare.statements if one.seat == seat]
    if told != [stated_before(member.disk, member.membership.federation)]:
        raise RuleError(f"{where}: refused: this hospital's own statement of its labels is not in it.")
