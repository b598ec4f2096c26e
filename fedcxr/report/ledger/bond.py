"""The coordinator's bond: its present state, and its history."""

from __future__ import annotations

from fedcxr.indexer.bond import Bond, BondChange
from fedcxr.report.ledger.words import NOTHING, ether, when
from fedcxr.report.tables import Table


def bond_lines(bond: Bond, now: int) -> list[tuple[str, str]]:
    """The present state of the bond, as pairs of a name and a value.

    Args:
        bond: as the index has it.
        now: seconds of chain time of the last block.
    """
    release = "not announced"
    if bond.release_at:
        reached = ", which is past" if bond.release_at <= now else ""
        release = f"announced; free from {when(bond.release_at)} UTC on{reached}"
    opens = "a round can open"
    if bond.needed and bond.release_at:
        opens = "no round opens: its release is announced; posting pledges it again"
    elif bond.lacking:
        opens = f"no round opens until {bond.lacking:,} wei are posted: fedcxr ledger bond post RUN"
    return [
        ("bond", _exact(bond.wei)),
        ("needed", _exact(bond.needed)),
        ("rounds", opens),
        ("covers", "all rounds within their dispute windows at once: it is lost once, to nobody"),
        ("release", release),
        ("posted", f"{ether(bond.total('posted'))} in all"),
        ("released", f"{ether(bond.total('released'))} in all"),
        ("slashed", f"{ether(bond.total('slashed'))} in all"),
    ]


def bond_table(bond: Bond) -> Table:
    """The table of the bond's changes, a row each."""
    return Table(
        title="What happened to it",
        header=("when (UTC)", "what", "account", "amount", "bond"),
        rows=tuple(
            (
                when(change.at.time),
                _what(change),
                change.account or NOTHING,
                ether(change.wei) if change.wei else NOTHING,
                ether(change.bond),
            )
            for change in bond.changes
        ),
        words=(1, 2),
    )


def _what(change: BondChange) -> str:
    if change.what == "slashed":
        # Earlier courts gave the challenger half.
        earned = change.wei - change.locked
        who = f"{ether(earned)} are the challenger's, the rest is locked" if earned else "locked for ever"
        return f"slashed for round {change.round}: {who}"
    if change.what == "release announced":
        return f"release announced: free from {when(change.release_at)} on"
    return change.what


def _exact(wei: int) -> str:
    return f"{ether(wei)} ({wei:,} wei)" if wei >= 10**12 else ether(wei)
