"""The blocks that a hospital's endpoint shows, and the one that it signs as its chain's head."""

from __future__ import annotations

import time
from collections.abc import Collection

from fedcxr.errors import ChainError
from fedcxr.ledger.views import FederationViews

_PATIENCE = 10.0  # seconds for an endpoint that is behind another one, or behind itself
_POLL = 0.5


def shown_hashes(ledger: FederationViews, blocks: Collection[int]) -> dict[int, bytes | None]:
    """Hashes of blocks; None for what is not there after a while, which is one for all of them.

    Nodes behind one URL do not keep step.

    Raises:
        ChainError: the chain does not answer.
    """
    deadline = time.monotonic() + _PATIENCE
    found = {block: ledger.block_hash(block) for block in blocks}
    while (missing := [block for block in found if found[block] is None]) and time.monotonic() < deadline:
        time.sleep(_POLL)
        found |= {block: ledger.block_hash(block) for block in missing}
    return found


def settled_head(ledger: FederationViews, depth: int) -> tuple[int, bytes]:
    """Number and hash of the newest block that no reorganisation is expected to take.

    Args:
        ledger: on the chain.
        depth: blocks that lie over it, or fewer at a chain's beginning.

    Raises:
        ChainError: the chain does not answer, or has no such block.
    """
    number, digest = ledger.head()
    if not depth:
        return number, digest
    settled = max(number - depth, 0)
    found = shown_hashes(ledger, [settled])[settled]
    if found is None:  # a hash that nobody gave would accuse this chain
        raise ChainError(f"the endpoint says that its head is block {number}, but has no block {settled}.")
    return settled, found
