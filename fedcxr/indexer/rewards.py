"""Contribution credits from the events, held against their budget and against the contract's own sums."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from fedcxr import json_text
from fedcxr.indexer.index_file import IndexFile
from fedcxr.indexer.members import Members
from fedcxr.indexer.rounds import credits_of, seats_of
from fedcxr.indexer.source import Block, Source
from fedcxr.ledger.seats import credits_call, to_bitmap, to_words, words_of


@dataclass(frozen=True)
class Rewards:
    """Who was given what.

    Attributes:
        budget: of each round.
        by_round: round to seat to credits; a round that is finalized and not wholly settled is not there.
        unsettled: finalized rounds whose credits are not given yet, or not all.
        totals: by seat.
        contract: the contract's sums by seat.
    """

    budget: int
    by_round: Mapping[int, Mapping[int, int]]
    unsettled: tuple[int, ...]
    totals: Mapping[int, int]
    contract: Mapping[int, int]

    @property
    def total(self) -> int:
        return sum(self.totals.values())

    @property
    def wrong_rounds(self) -> tuple[int, ...]:
        """Settled rounds whose credits are not the budget."""
        return tuple(number for number, given in self.by_round.items() if sum(given.values()) != self.budget)

    @property
    def exact(self) -> bool:
        """Whether all credits are budget × settled rounds, round by round."""
        return not self.wrong_rounds

    @property
    def agrees(self) -> bool:
        """Whether the contract's sums are those of its events."""
        return dict(self.totals) == dict(self.contract)


def read_rewards(index: IndexFile, members: Members, source: Source, contract: str) -> Rewards:
    """Tabulate the credits; the contract's own sums are asked for once a head of the chain.

    Raises:
        ChainError: the contract cannot be asked.
    """
    founding = json_text.parse(index.select("FederationCreated")[0]["founding"])
    by_round: dict[int, dict[int, int]] = {}
    totals = {member.seat: 0 for member in members}
    for row in index.select("RewardsSettled"):  # one a word of 256 seats, where a round has several
        for seat, amount in (given := credits_of(row)).items():
            totals[seat] += amount
        by_round.setdefault(row["round"], {}).update(given)
    rows = index.select("RoundFinalized") if founding["rewardBudget"] else []
    for row in rows:
        if not set(seats_of(row["included"])) <= by_round.get(row["round"], {}).keys():
            by_round.pop(row["round"], None)
    finalized = [row["round"] for row in rows]
    return Rewards(
        budget=founding["rewardBudget"],
        by_round=by_round,
        unsettled=tuple(number for number in finalized if number not in by_round),
        totals=totals,
        contract=_asked(index, members, source, contract),
    )


def _asked(index: IndexFile, members: Members, source: Source, contract: str) -> dict[int, int]:
    seats = [member.seat for member in members]
    scanned = index.scanned
    if not seats or scanned is None:
        return {}
    # What was asked at this block is remembered: nothing can have changed since.
    fact = index.facts.get("credits", "")
    if not fact.startswith(scanned.hash.hex() + ":"):
        sums = _ask(source, contract, seats, scanned)
        fact = f"{scanned.hash.hex()}:{json.dumps(sums)}"
        index.close_with({"credits": fact})
    return dict(zip(seats, json_text.parse(fact.partition(":")[2]), strict=True))


def _ask(source: Source, contract: str, seats: list[int], block: Block) -> list[int]:
    from fedcxr.ledger.abi import Fields
    from fedcxr.ledger.artifact import known_interface, selector

    wanted = to_bitmap(seats)
    owned: list[int] = []
    for word, asked in enumerate(to_words(wanted, words_of(wanted))):
        name, *arguments = credits_call(word, asked)
        function = known_interface().function(name)
        call = selector(function) + b"".join(number.to_bytes(32, "big") for number in arguments)
        owned += Fields(function["outputs"]).read(source.call(contract, call, block))["credits"]
    return owned
