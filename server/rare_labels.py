"""The labels that a round withholds: what its configuration has of them, and whether its sum heeds it."""

from __future__ import annotations

from collections.abc import Mapping

from fedcxr.config import Config
from fedcxr.data.labels import LABELS
from fedcxr.ledger.protocol import Ledger
from fedcxr.masked_rounds.rare_labels import stated_labels
from fedcxr.update.fixed_point import Ring
from fedcxr.update.label_rows import moved_labels
from fedcxr.update.layout import Layout
from fedcxr.update.round_config import RareLabels, RoundConfig
from server.registration import HospitalNode


def rare_labels(config: Config, ledger: Ledger, members: Mapping[str, HospitalNode]) -> RareLabels | None:
    """Which labels a round of these members withholds; None where the federation withholds none.

    Raises:
        FederationError: they are too few for any rule.
    """
    if not config.federation.withholds:
        return None
    assert ledger.views is not None  # the configuration wants a ledger
    stated = {member.address: (member.labels, member.labels_signature) for member in members.values()}
    return stated_labels(ledger.views, stated, config.privacy.colluder_parts)


def objection(total: Ring, layout: Layout, round_config: RoundConfig) -> str:
    """Why a sum is none of hospitals that withhold what they are to withhold; empty where it is one."""
    withheld = () if round_config.rare is None else round_config.rare.withheld
    moved = [LABELS[label] for label in moved_labels(total, layout, withheld)]
    if not moved:
        return ""
    return f"the sum moves rows of labels that are withheld, {', '.join(moved)}: a hospital in it did not"
