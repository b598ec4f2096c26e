"""A round's configuration, held to what the ledger says of the federation."""

from __future__ import annotations

from collections.abc import Iterator

from fedcxr.ledger.views import FederationViews
from fedcxr.update.round_config import RoundConfig


def disagreements(
    round_config: RoundConfig, number: int, ledger: FederationViews
) -> Iterator[tuple[str, str, str]]:
    """What of a round's configuration is not as the ledger says: what, expected, found."""
    for what, expected, found in (
        ("round", str(number), str(round_config.round)),
        ("config", ledger.config_digest.hex(), round_config.config),
        ("layout", ledger.layout_digest.hex(), round_config.layout),
    ):
        if found != expected:
            yield what, expected, found
