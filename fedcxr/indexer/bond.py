"""The coordinator's bond from the court's events: posted, announced for release, released, slashed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedcxr import json_text
from fedcxr.indexer.index_file import IndexFile
from fedcxr.indexer.rounds import Moment, moment

What = Literal["posted", "release announced", "released", "slashed"]
_NAMES = ("BondPosted", "ReleaseAnnounced", "BondReleased", "BondSlashed", "CoordinatorChanged")


@dataclass(frozen=True)
class BondChange:
    """What happened to the bond.

    Attributes:
        what: happened.
        account: that posted it, or got it back; of a slash, the challenger. Empty where its release was
            announced.
        wei: posted, released, or lost; 0 where its release was announced.
        bond: wei thereafter.
        at: when.
        round: that was found wrong; None but for a slash.
        locked: of a slash, wei that nobody ever gets.
        release_at: seconds of chain time from which it may be taken back; 0 but for an announcement.
    """

    what: What
    account: str
    wei: int
    bond: int
    at: Moment
    round: int | None = None
    locked: int = 0
    release_at: int = 0


@dataclass(frozen=True)
class Bond:
    """The bond as of the index's last block.

    Attributes:
        wei: that the coordinator stands to lose.
        needed: wei without which no round opens.
        release_at: seconds of chain time from which it may be taken back; 0 while it is pledged.
        changes: its history.
    """

    wei: int
    needed: int
    release_at: int
    changes: tuple[BondChange, ...]

    @property
    def pledged(self) -> bool:
        """Whether there is one that the next rounds stand on."""
        return self.wei > 0 and not self.release_at

    @property
    def lacking(self) -> int:
        """Wei that have to be posted before a round opens."""
        return max(self.needed - self.wei, 0)

    def total(self, what: What) -> int:
        """Wei that were posted, released or lost so far."""
        return sum(change.wei for change in self.changes if change.what == what)


def read_bond(index: IndexFile) -> Bond:
    """The bond and its history."""
    founding = json_text.parse(index.select("FederationCreated")[0]["founding"])
    rows = sorted(
        ((row["block"], row["position"], name, row) for name in _NAMES for row in index.select(name)),
        key=lambda item: item[:2],
    )
    coordinator = index.select("RoleGranted")[0]["account"]  # the first of all is the founder's
    wei, release_at, changes = 0, 0, []
    for _, _, name, row in rows:
        at = moment(row)
        if name == "CoordinatorChanged":
            coordinator = row["successor"]
        elif name == "BondPosted":
            wei = int(row["bond"])
            release_at = 0 if row["sender"] == coordinator else release_at
            changes.append(BondChange("posted", row["sender"], int(row["amount"]), wei, at))
        elif name == "ReleaseAnnounced":
            release_at = int(row["releaseAt"])
            changes.append(BondChange("release announced", "", 0, wei, at, release_at=release_at))
        elif name == "BondReleased":
            wei = 0
            changes.append(BondChange("released", row["coordinator"], int(row["amount"]), wei, at))
        else:
            wei, locked = 0, int(row["locked"])
            lost = int(row["toChallenger"]) + locked
            changes.append(
                BondChange("slashed", row["challenger"], lost, wei, at, round=row["round"], locked=locked)
            )
    return Bond(wei, int(founding["minimumBond"]), release_at, tuple(changes))
