"""A federation with seats beyond the first 256: its sets have several words, which no reader sees."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from contract_party import LocalChain, Party

from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.connection import ContractConnection
from fedcxr.ledger.court import DisputeCourt, result_of
from fedcxr.ledger.history import asked_seats
from fedcxr.ledger.rules import assign_weights
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.ledger.submissions import tree as submission_tree
from fedcxr.ledger.views import FederationViews

HOSPITALS = 258  # and the outsider, at seat 258


@pytest.fixture(scope="module")
def many_chain() -> Iterator[LocalChain]:
    chain = EmbeddedChain(None, chain_id=1337)
    yield chain
    chain.close()


@pytest.fixture(scope="module")
def many(many_chain: LocalChain) -> Party:
    return Party.found(many_chain, [10 + i % 7 for i in range(HOSPITALS)], recording="root")


def few(party: Party, *seats: int) -> Party:
    """The same federation, of which these seats are asked."""
    hospitals = [party.hospitals[seat] for seat in seats]
    return Party(party.chain, party.ledger, party.coordinator, hospitals, party.outsider)


def test_a_round_of_all(many: Party) -> None:
    ledger = many.ledger
    view = many.open()
    assert view.participants == tuple(many.addresses)
    assert list(view.weights.values()) == assign_weights([10 + i % 7 for i in range(HOSPITALS)], "samples")
    assert all(weight >= 1 for weight in view.weights.values())
    batch = [many.signed(hospital) for hospital in many.hospitals[1:]]
    assert all(verdict.accepted for verdict in ledger.submit(batch))
    assert set(ledger.round(1).accepted) == set(many.addresses[1:])
    listing = ledger.listing()
    many.close()
    out = many.addresses[257]
    many.finalize({out: "it does not open"})
    view = ledger.round(1)
    assert view.included == tuple(many.addresses[1:257])
    assert view.counted == tuple(many.addresses[1:])
    filled = submission_list.fill(view, listing, ledger.domain)
    assert filled.accepted == submission_list.accepted(batch)
    # The contract keeps the hash of what its events say.
    result = result_of(ledger.views, 1)
    assert (result.words, result.hash) == (2, ledger.views.result_hash(1))
    court = DisputeCourt(many.chain.w3, ledger.views.court)
    assert court.disputable(result)
    # Its credits are given in two transactions.
    before = ledger.gas_used["settle"]
    ledger.settle()
    assert ledger.views.latest_round[3]
    assert ledger.gas_used["settle"] > before
    owned = ledger.views.credits()
    assert len(owned) == HOSPITALS + 1
    assert sum(owned.values()) == 1000
    assert owned[out] == owned[many.outsider.address] == owned[many.addresses[0]] == 0
    ledger.settle()  # nothing is left to do
    # Proofs that they are in, and that they are not.
    leaves = submission_list.leaves(batch, view.seats)
    depth = submission_tree.depth_of(view.seats.values())
    assert depth == 12
    for seat in (1, 255, 256, 257):
        path = submission_tree.path(leaves, seat, depth)
        assert court.proves_inclusion(view.submissions_root, seat, batch[seat - 1], path)
        assert not court.proves_omission(view.submissions_root, seat, path)
    path = submission_tree.path(leaves, 0, depth)
    assert submission_tree.proves(view.submissions_root, 0, bytes(32), path)
    assert court.proves_omission(view.submissions_root, 0, path)


def test_all_members_are_listed(many: Party) -> None:
    members = many.ledger.members()
    assert [member.seat for member in members] == list(range(HOSPITALS + 1))
    assert [member.address for member in members] == [*many.addresses, many.outsider.address]


def test_many_members_are_asked_for_again_after_an_event_of_theirs(
    many: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    call = ContractConnection.call

    def counting(self: ContractConnection, name: str, *arguments: object, block: int | None = None) -> Any:
        asked.append(name)
        return call(self, name, *arguments, block=block)

    monkeypatch.setattr(ContractConnection, "call", counting)
    views = FederationViews.attach(many.chain.w3, many.ledger.address)
    assert views.members() == views.members()
    assert asked == ["membersOfWord"] * 2
    many.ledger.membership.suspend(many.outsider.address)
    assert views.members()[HOSPITALS].standing == "suspended"
    many.ledger.membership.reinstate(many.outsider.address)
    assert views.members()[HOSPITALS].standing == "active"
    assert asked.count("membersOfWord") == 6


def test_a_missing_submission_beyond_the_first_256_is_disputed(many: Party) -> None:
    party = few(many, 3, 256, 257)
    ledger, number = party.ledger, party.number
    party.open()
    batch = [party.signed(hospital) for hospital in party.hospitals[:2]]
    leaves = {3: submission_tree.leaf(batch[0]), 256: submission_tree.leaf(batch[1])}
    root = submission_tree.root(leaves, 12)
    words = [1 << 3, 0b11]  # of 257, too, of which there is nothing
    ledger.membership._transactor.transact(
        "close", "closeWideWithRoot", (number, root, b"L" * 32, words), gas=400_000
    )
    party.finalize()
    result = result_of(ledger.views, number)
    stranger = many.coordinator
    court = DisputeCourt(many.chain.w3, ledger.views.court, stranger)
    with pytest.raises(ContractRejectedError, match="NotOmitted"):
        court.dispute_omission(result, 256, submission_tree.path(leaves, 256, 12))
    with pytest.raises(ContractRejectedError, match="SubmissionGood"):
        court.dispute_submission(result, 256, batch[1], submission_tree.path(leaves, 256, 12))
    court.dispute_omission(result, 257, submission_tree.path(leaves, 257, 12))
    assert court.disputed(number)
    ledger.settle()


def test_a_round_of_the_first_seats_is_as_in_any_federation(many: Party) -> None:
    party = few(many, 0, 255)
    number = party.number
    batch = party.whole_round()
    view = party.ledger.round(number)
    assert submission_tree.depth_of(view.seats.values()) == 8
    leaves = submission_list.leaves(batch, view.seats)
    assert submission_tree.root(leaves) == view.submissions_root
    assert result_of(party.ledger.views, number).words == 1
    opening = party.ledger.views.round_events(number).attempts[-1]
    assert list(asked_seats(opening)) == [0, 255]
    few(many, 256).open()  # the opening gives the credits of a narrow round by itself
    assert sum(party.ledger.views.credits().values()) == 3000
    party.ledger.abort(party.number, "the test is over")


def test_a_round_is_not_opened_before_the_credits_of_a_wide_one_are_given(many: Party) -> None:
    party = few(many, 1, 257)
    party.whole_round()
    with pytest.raises(ContractRejectedError, match="NotSettled"):
        party.open()
    party.ledger.settle()
    party.open()
    party.ledger.abort(party.number, "the test is over")


def test_updates_are_recorded_each_in_their_seats(many_chain: LocalChain) -> None:
    party = Party.found(many_chain, [10] * 256, reward_budget=0)  # the outsider has seat 256
    asked = few(party, 0, 1)
    asked.hospitals.append(party.outsider)
    view = asked.open()
    assert [view.seats[address] for address in view.participants] == [0, 1, 256]
    batch = [asked.signed(asked.hospitals[0]), asked.signed(party.outsider), asked.signed(party.hospitals[2])]
    verdicts = party.ledger.submit(batch)
    assert [v.error.name if v.error else None for v in verdicts] == [None, None, "NotParticipant"]
    asked.close()
    asked.finalize()
    view = party.ledger.round(1)
    assert view.included == (asked.addresses[0], party.outsider.address)
    views = party.ledger.views
    assert views.commitment(1, 1, 256) != views.commitment(1, 1, 0) != bytes(32)
    assert views.commitment(1, 2, 0) == bytes(32)
    assert result_of(views, 1).hash == views.result_hash(1)
    assert hashlib.sha256(b"model\x01").digest() == views.model_digest
