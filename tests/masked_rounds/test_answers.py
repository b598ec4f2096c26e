"""What hospitals release, whom a wrong release names, and the file in which the seeds are published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from fedcxr.bench.secagg import DOMAIN, Party
from fedcxr.errors import FederationError
from fedcxr.ledger.signing import Signed, sign
from fedcxr.masked_rounds.answers import (
    ENTRY,
    Answer,
    Answers,
    Seeds,
    pairs_that_differ,
    seed_faults,
    statement,
)
from fedcxr.masked_rounds.seeds_file import SeedsFile
from fedcxr.privacy.masked import read_header
from fedcxr.privacy.secagg.header import MaskedHeader
from fedcxr.privacy.secagg.outgoing import OutgoingMask

VALUES = 64
ACCEPTED = (0, 1, 2, 4)  # of five, of whom one may be missing


class Round:
    """A masked round whose updates are in."""

    def __init__(self) -> None:
        self.party = Party(5, VALUES)
        self.masks: Mapping[int, OutgoingMask] = {seat: self.party.mask(seat) for seat in ACCEPTED}
        vectors = {seat: np.full(VALUES, seat, np.uint32) for seat in ACCEPTED}
        self.blobs = {seat: self.party.protect(vectors[seat], self.masks[seat]) for seat in ACCEPTED}
        self.headers = {seat: read_header(blob) for seat, blob in self.blobs.items()}

    def answers(self, headers: Mapping[int, MaskedHeader] | None = None) -> Answers:
        return Answers(self.party.attempt, ACCEPTED, headers or self.headers, DOMAIN)

    def answer(self, seat: int) -> Answer:
        return self.party.answer(seat, ACCEPTED, self.headers, self.masks[seat])

    def signed(self, seat: int, entries: bytes) -> Answer:
        """An answer with other entries, that its hospital signed."""
        identity = self.party.identities[seat]
        said = statement(self.party.attempt, identity.account.address, ACCEPTED, (1, bytes(32)), entries)
        return Answer(seat, Signed(said, sign(identity.account, said, DOMAIN)), entries)


@pytest.fixture(scope="module")
def round_() -> Round:
    return Round()


def test_enough_answers_give_the_seeds_that_were_committed_to(round_: Round) -> None:
    answers = round_.answers()
    assert "shares of the self-masks" in answers.lacking
    with pytest.raises(FederationError, match="have not come"):
        answers.seeds()
    for seat in ACCEPTED:
        answers.take(round_.answer(seat))
    seeds = answers.seeds()
    assert answers.lacking == ""
    assert answers.faults == seed_faults(round_.party.attempt, round_.headers, seeds) == []
    assert {seat: mask.self_seed for seat, mask in round_.masks.items()} == dict(seeds.own)
    assert {(i, 3): round_.masks[i].pair_seeds[3] for i in ACCEPTED} == dict(seeds.pairs)
    assert len(seeds.added) == 4 + 3
    assert len(seeds.taken_off) == 1


def test_a_missing_ones_edges_wait_for_each_survivor(round_: Round) -> None:
    answers = round_.answers()
    for seat in ACCEPTED[:3]:
        answers.take(round_.answer(seat))
    assert "seats [4] share with missing ones" in answers.lacking
    assert answers.out_of_reach(set()) == ""
    assert "fewer than 3 shares of the self-masks of seats [0, 1, 2]" in answers.out_of_reach({4})
    assert "fewer than 3 shares" in round_.answers().out_of_reach({0, 1})


def test_a_wrong_share_names_its_hospital(round_: Round) -> None:
    good = round_.answer(1)
    wrong = bytearray(good.entries)
    wrong[5] ^= 1  # of the share of seat 0
    answers = round_.answers()
    answers.take(round_.signed(1, bytes(wrong)))
    assert [(fault.seat, "share of seat 0" in fault.what) for fault in answers.faults] == [(1, True)]


def test_a_wrong_seed_names_its_hospital(round_: Round) -> None:
    good = round_.answer(1)
    wrong = bytearray(good.entries)
    wrong[2 * ENTRY + 5] ^= 1  # of the seed of the pair with seat 3
    answers = round_.answers()
    answers.take(round_.signed(1, bytes(wrong)))
    assert [(fault.seat, "seed with seat 3" in fault.what) for fault in answers.faults] == [(1, True)]
    assert "seats [0, 1, 2, 4]" in answers.lacking


def test_shares_that_are_none_name_their_owner(round_: Round) -> None:
    """A dealer whose shares fit their commitments, and not the seed that it committed to."""
    lying = round_.headers[0]
    facts = replace(lying.facts, self_commitment=bytes(32))
    answers = round_.answers({**round_.headers, 0: replace(lying, facts=facts)})
    for seat in ACCEPTED:
        answers.take(round_.answer(seat))
    with pytest.raises(FederationError, match="shares of seat 0 are none"):
        answers.seeds()
    assert [fault.seat for fault in answers.faults] == [0]


def test_more_than_may_collude_convict_who_sealed_nothing_good(round_: Round) -> None:
    answers = round_.answers()
    for seat in (1, 2):
        entries = bytearray(round_.answer(seat).entries)
        entries[:ENTRY] = bytes(ENTRY)
        assert answers.faults == []
        answers.take(round_.signed(seat, bytes(entries)))
    assert [fault.seat for fault in answers.faults] == [0]


@pytest.mark.parametrize(
    "change",
    [
        lambda entries: entries[:-1],
        lambda entries: entries + bytes(ENTRY),
        lambda entries: bytes([3]) + entries[1:],
        lambda entries: bytes([2]) + entries[1:],
        lambda entries: entries[: 2 * ENTRY] + bytes([1]) + entries[2 * ENTRY + 1 :],
        lambda entries: entries[: 3 * ENTRY - 1] + b"\1" + entries[3 * ENTRY :],
    ],
)
def test_an_answer_has_one_thing_for_each_neighbour(round_: Round, change: object) -> None:
    entries = change(round_.answer(1).entries)  # type: ignore[operator]
    with pytest.raises(FederationError, match=r"answer of|is not one for this set"):
        round_.answers().take(round_.signed(1, entries))


def test_an_answer_that_is_another_ones_or_for_something_else_does_not_count(round_: Round) -> None:
    good = round_.answer(1)
    answers, message = round_.answers(), good.signed.message
    with pytest.raises(FederationError, match="not in the set"):
        answers.take(good._replace(seat=3))
    with pytest.raises(FederationError, match="not its account"):
        answers.take(good._replace(seat=2))
    with pytest.raises(FederationError, match="another set"):
        answers.take(good._replace(signed=Signed(replace(message, accepted=31), good.signed.signature)))
    with pytest.raises(FederationError, match="something else"):
        answers.take(good._replace(signed=Signed(replace(message, context=bytes(32)), b"")))
    with pytest.raises(FederationError, match="not signed by it"):
        answers.take(good._replace(signed=Signed(message, round_.answer(2).signed.signature)))
    assert answers.taken == {}


def test_a_pair_whose_ends_differ_is_found_before_anything_is_released(round_: Round) -> None:
    lying = round_.headers[1]
    commitments = (lying.commitments[0]._replace(pair=bytes(32)), *lying.commitments[1:])
    headers = {**round_.headers, 1: replace(lying, commitments=commitments)}
    assert pairs_that_differ(round_.party.attempt, ACCEPTED, round_.headers) == []
    assert pairs_that_differ(round_.party.attempt, ACCEPTED, headers) == [(0, 1)]


@pytest.fixture(scope="module")
def published(round_: Round) -> SeedsFile:
    answers = round_.answers()
    for seat in ACCEPTED:
        answers.take(round_.answer(seat))
    taken = tuple(answers.taken[seat] for seat in ACCEPTED)
    return SeedsFile(round_.party.attempt, ACCEPTED, answers.seeds(), taken)


def test_the_seeds_file_is_read_back(round_: Round, published: SeedsFile) -> None:
    assert SeedsFile.from_bytes(published.to_bytes(), round_.party.attempt, ACCEPTED) == published


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"round":1', b'"round":2'),
        (b'"round":1', b'"round":1.0'),
        (b'"round":1', b'"round": 1'),
        (b'"self":[[0,', b'"self":[[1,'),
        (b'"self":[[0,', b'"self":[[true,'),
        (b'"pairs":[[0,3,', b'"pairs":[[0,1,'),
        (b'"pairs":[[0,3,', b'"pairs":[[0,3,"00","11"],[0,3,'),
        (b'"answers":[[0,', b'"answers":[[1,'),
        (b'"format":"fedcxr/seeds/1"', b'"format":"fedcxr/seeds/2"'),
        (b'{"answers"', b'{"more":1,"answers"'),
        (b'"context":"', b'"context":"0'),
    ],
)
def test_a_seeds_file_in_any_other_form_is_none(
    round_: Round, published: SeedsFile, old: bytes, new: bytes
) -> None:
    data = published.to_bytes()
    assert old in data
    with pytest.raises(FederationError):
        SeedsFile.from_bytes(data.replace(old, new, 1), round_.party.attempt, ACCEPTED)


def test_seeds_of_another_set_or_that_nobody_committed_to_are_found(
    round_: Round, published: SeedsFile
) -> None:
    with pytest.raises(FederationError, match="not those of the set"):
        SeedsFile.from_bytes(published.to_bytes(), round_.party.attempt, (0, 1, 2, 3))
    seeds = published.seeds
    other = Seeds({**seeds.own, 2: bytes(32)}, {**seeds.pairs, (4, 3): bytes(32)})
    faults = seed_faults(round_.party.attempt, round_.headers, other)
    assert [fault.seat for fault in faults] == [2, 4]
