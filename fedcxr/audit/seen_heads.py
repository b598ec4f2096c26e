"""The blocks that hospitals have seen, under their signatures, against the chain that there is now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fedcxr import bounded
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.history import heads_not_in
from fedcxr.chain.block_hash import block_hash
from fedcxr.errors import ContractRejectedError, FederationError, StoreError
from fedcxr.ledger.statements import LONGEST_HEADS, heads_from_bytes
from fedcxr.ledger.views import FederationViews


@dataclass(frozen=True)
class SeenBlock:
    """A block that a hospital states, under its signature, to have seen in the chain."""

    hospital: str
    number: int
    digest: bytes


def check_seen(
    seen: Iterable[SeenBlock], ledger: FederationViews, report: AuditReport, where: str
) -> dict[tuple[int, bytes], bytes | None]:
    """Hold what hospitals saw against the chain; of each hospital the lowest block that is not there is told.

    Args:
        seen: by hospitals of this federation.
        ledger: on the chain.
        report: that a finding is added to.
        where: all of it stands.

    Returns:
        The heads that are not there, as :func:`heads_not_in` has them.
    """
    seen = list(seen)
    missing = heads_not_in(
        lambda number: block_hash(ledger.w3, number), ((one.number, one.digest) for one in seen)
    )
    lost: dict[str, list[tuple[int, bytes]]] = {}
    for one in seen:
        if (one.number, one.digest) in missing:
            lost.setdefault(one.hospital, []).append((one.number, one.digest))
    for hospital, heads in lost.items():
        number, digest = min(heads)
        there = missing[number, digest]
        found = f"no block {number}" if there is None else f"block {number}, 0x{there.hex()}"
        more = len(set(heads)) - 1
        found += f"; so it is with {more} more that it saw" if more else ""
        expected = f"a chain with block {number}, 0x{digest.hex()}, which this hospital saw"
        report.find(where, expected, found, hospital=hospital)
    return missing


def check_kept_heads(path: Path, ledger: FederationViews, report: AuditReport) -> None:
    """Hold the heads that a coordinator has kept of its hospitals, if any, against the chain."""
    if not path.exists():
        return
    try:
        data = bounded.read(path, LONGEST_HEADS)
        heads = [signed.message for signed in heads_from_bytes(data, ledger.federation, ledger.domain)]
        for head in heads:
            ledger.seat_of(head.hospital)
    except (OSError, StoreError, FederationError, ContractRejectedError) as error:
        report.find(path.name, "heads that hospitals have signed", str(error))
        return
    seen = (SeenBlock(head.hospital, head.block, head.block_hash) for head in heads)
    check_seen(seen, ledger, report, path.name)
