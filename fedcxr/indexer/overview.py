"""A federation at a glance: its rules, its members, where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedcxr import json_text
from fedcxr.indexer.bond import read_bond
from fedcxr.indexer.index_file import IndexFile
from fedcxr.indexer.members import Members
from fedcxr.indexer.rounds import RoundRecord, read_rounds
from fedcxr.indexer.source import Block
from fedcxr.ledger.recorded import Recorded


@dataclass(frozen=True)
class Totals:
    """How often what happened."""

    finalized: int
    aborted: int
    accepted: int
    rejected: int
    excluded: int
    attested: int
    base_refused: int
    credits: int
    disputes: int


@dataclass(frozen=True)
class Overview:
    """A federation.

    Attributes:
        court: the contract that holds the bond.
        head: the last block that was read.
        coordinator: present.
        founding: what it was founded with, by the contract's names; an earlier one has no ``bounds`` there.
        bond: in wei, and whether it is pledged.
        latest: the latest round; None before the first.
    """

    federation: bytes
    court: str
    head: Block
    founded: Block
    coordinator: str
    founding: Mapping[str, Any]
    bond: int
    pledged: bool
    members: Members
    latest: RoundRecord | None
    totals: Totals


def read_overview(index: IndexFile) -> Overview:
    """The federation as of the index's last block."""
    created = index.select("FederationCreated")[0]
    members, head = Members.of(index), index.scanned
    assert head is not None
    founding = json_text.parse(created["founding"])
    for fixed in index.select("BoundsFixed"):
        founding["bounds"] = json_text.parse(fixed["bounds"])
    last = index.select("RoundOpened", 'e.block = (SELECT max(block) FROM "RoundOpened")')
    records = read_rounds(index, members, last[-1]["round"], last[-1]["round"]) if last else []
    bond = read_bond(index)
    handed = index.select("CoordinatorChanged")
    granted = index.select("RoleGranted")  # the first of all is the founder's, by the constructor
    given = index.select("RewardsSettled")
    disputes = ("AggregateDisputed", "SubmissionDisputed")
    return Overview(
        federation=created["federation"],
        court=created["court"],
        head=head,
        founded=Block(created["block"], b"", created["time"]),
        coordinator=handed[-1]["successor"] if handed else granted[0]["account"],
        founding=founding,
        bond=bond.wei,
        pledged=bond.pledged,
        members=members,
        latest=records[-1] if records else None,
        totals=Totals(
            finalized=index.count("RoundFinalized"),
            aborted=index.count("RoundAborted"),
            accepted=_accepted(index, founding),
            rejected=index.count("UpdateRejected"),
            excluded=index.count("UpdateExcluded"),
            attested=index.count("UpdateAttested"),
            base_refused=index.count("BaseRefused"),
            credits=sum(sum(json_text.parse(row["credits"])) for row in given),
            disputes=sum(len(index.select(name)) for name in disputes),
        ),
    )


def _accepted(index: IndexFile, founding: Mapping[str, Any]) -> int:
    """Updates that the contract accepted, in whatever became of their rounds."""
    if not Recorded(founding["recording"]).listed:
        return index.count("UpdateAccepted")
    return sum(int(row["accepted"]).bit_count() for row in index.select("RoundClosed"))
