"""One root a round for all submissions: what it costs, what it proves, and what it cannot hide."""

from dataclasses import replace

import pytest
from contract_party import LocalChain, Party

from fedcxr.errors import ContractRejectedError, FederationError, LedgerError
from fedcxr.ledger.court import DisputeCourt, result_of
from fedcxr.ledger.signing import SignedSubmission, sign
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.ledger.submissions import tree as submission_tree

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture
def rooted(chain: LocalChain) -> Party:
    return Party.found(chain, recording="root")


def finish(party: Party, count: int = 3) -> tuple[bytes, list[SignedSubmission]]:
    """A round of the first hospitals; its list and its submissions."""
    party.open()
    batch = [party.signed(h) for h in party.hospitals[:count]]
    assert all(v.accepted for v in party.ledger.submit(batch))
    listing = party.ledger.listing()
    party.close()
    party.finalize()
    return listing, batch


def test_nothing_is_sent_for_a_submission_and_each_is_checked_all_the_same(rooted: Party) -> None:
    rooted.open()
    rooted.ledger.gas_used.clear()
    first, second, third = rooted.hospitals
    batch = [
        rooted.signed(first),
        rooted.signed(first),
        rooted.signed(second, key=third),
        rooted.signed(rooted.outsider),
        rooted.signed(second, base=b"B" * 32),
        rooted.signed(third, samples=8),
    ]
    names = [v.error.name if v.error else None for v in rooted.ledger.submit(batch)]
    assert names == [
        None,
        "AlreadySubmitted",
        "BadSignature",
        "NotParticipant",
        "WrongBase",
        "TooManySamples",
    ]
    assert not rooted.ledger.gas_used
    assert list(rooted.ledger.round(1).accepted) == [first.address]


def test_the_view_is_whole_again_from_the_list_in_the_store(rooted: Party) -> None:
    listing, batch = finish(rooted)
    view = rooted.ledger.round(1)
    assert view.accepted == {}
    filled = submission_list.fill(view, listing, rooted.ledger.domain)
    assert filled.accepted == submission_list.accepted(batch)
    assert set(filled.included) == set(rooted.addresses)


def test_a_list_that_is_not_the_roots_is_named(rooted: Party) -> None:
    listing, batch = finish(rooted)
    view, domain = rooted.ledger.round(1), rooted.ledger.domain
    with pytest.raises(LedgerError, match="not that of the contract's root"):
        submission_list.fill(view, submission_list.to_bytes(batch[:2]), domain)
    with pytest.raises(FederationError, match="not a list of submissions"):
        submission_list.fill(view, listing[:-1], domain)


def test_a_hospital_proves_that_it_is_in_or_that_it_is_not(rooted: Party) -> None:
    _, batch = finish(rooted, 2)
    view = rooted.ledger.round(1)
    court = DisputeCourt(rooted.chain.w3, rooted.ledger.views.court)
    leaves = submission_list.leaves(batch, view.seats)
    root = view.submissions_root
    for seat, signed in enumerate(batch):
        path = submission_tree.path(leaves, seat)
        assert submission_tree.proves(root, seat, submission_tree.leaf(signed), path)
        assert court.proves_inclusion(root, seat, signed, path)
        assert not court.proves_omission(root, seat, path)
        assert not court.proves_inclusion(root, seat + 1, signed, path)
    path = submission_tree.path(leaves, 2)
    assert submission_tree.proves(root, 2, bytes(32), path)
    assert court.proves_omission(root, 2, path)
    assert not court.proves_inclusion(root, 2, batch[0], path)


def test_the_cost_does_not_grow_with_the_hospitals(chain: LocalChain) -> None:
    gas = {}
    for count in (4, 32):
        party = Party.found(chain, [10] * count, recording="root", reward_budget=0)
        finish(party, count)
        party.ledger.gas_used.clear()
        finish(party, count)
        gas[count] = party.ledger.gas_used["close"] + party.ledger.gas_used["finalize"]
        assert "submit" not in party.ledger.gas_used
    # What is left is counting the bits of a word.
    assert gas[32] < gas[4] + 32 * 300
    assert gas[32] < 200_000


def test_what_a_hospital_brought_to_the_contract_itself_must_be_in_the_root(rooted: Party) -> None:
    rooted.open()
    first, second, _ = rooted.hospitals
    rooted.ledger.submit([rooted.signed(first)])
    rooted.ledger.submit_direct(rooted.signed(second))
    without = (1, b"R" * 32, b"L" * 32, 1)
    with pytest.raises(ContractRejectedError, match="SubmissionsMissing"):
        rooted.ledger._transactor.transact("close", "closeWithRoot", without, gas=500_000)
    listing = rooted.ledger.listing()
    rooted.close()
    view = submission_list.fill(rooted.ledger.round(1), listing, rooted.ledger.domain)
    assert set(view.accepted) == {first.address, second.address}


def test_a_forged_submission_under_the_root_costs_the_bond(chain: LocalChain) -> None:
    party = Party.found(chain, recording="root", minimum_bond=10**18)
    court = DisputeCourt(chain.w3, party.ledger.views.court, party.coordinator)
    with pytest.raises(ContractRejectedError, match="BondTooSmall"):
        party.open()
    court.post_bond(10**18)
    party.open()
    good = party.signed(party.hospitals[0])
    forged = party.signed(party.hospitals[1], key=party.coordinator)
    leaves = {0: submission_tree.leaf(good), 1: submission_tree.leaf(forged)}
    arguments = (1, submission_tree.root(leaves), b"L" * 32, 3)
    party.ledger._transactor.transact("close", "closeWithRoot", arguments, gas=500_000)
    party.finalize()
    result = result_of(party.ledger.views, 1)
    with pytest.raises(ContractRejectedError, match="SubmissionGood"):
        court.dispute_submission(result, 0, good, submission_tree.path(leaves, 0))
    with pytest.raises(ContractRejectedError, match="NotCommitted"):
        court.dispute_submission(result, 1, good, submission_tree.path(leaves, 1))
    challenger = party.hospitals[2]
    chain.fund(challenger.address)
    theirs = DisputeCourt(chain.w3, court.address, challenger)
    theirs.dispute_submission(result, 1, forged, submission_tree.path(leaves, 1))
    assert court.bond == 0
    assert court.disputed(1)
    with pytest.raises(ContractRejectedError, match="AlreadyDisputed"):
        theirs.dispute_submission(result, 1, forged, submission_tree.path(leaves, 1))


def test_a_hospital_that_counts_without_a_submission_costs_the_bond(chain: LocalChain) -> None:
    party = Party.found(chain, recording="root", minimum_bond=10**18)
    court = DisputeCourt(chain.w3, party.ledger.views.court, party.coordinator)
    court.post_bond(10**18)
    party.open()
    leaves = {0: submission_tree.leaf(party.signed(party.hospitals[0]))}
    arguments = (1, submission_tree.root(leaves), b"L" * 32, 0b11)
    party.ledger._transactor.transact("close", "closeWithRoot", arguments, gas=500_000)
    party.finalize()
    result = result_of(party.ledger.views, 1)
    for seat in (0, 2):
        with pytest.raises(ContractRejectedError, match="NotOmitted"):
            court.dispute_omission(result, seat, submission_tree.path(leaves, seat))
    court.dispute_omission(result, 1, submission_tree.path(leaves, 1))
    assert court.disputed(1)
    assert court.bond == 0


def test_a_signature_of_the_lists_is_checked(rooted: Party) -> None:
    """The root alone would prove only what the coordinator put under it."""
    rooted.open()
    good = rooted.signed(rooted.hospitals[0])
    bad = replace(good, signature=sign(rooted.coordinator, good.message, rooted.ledger.domain))
    listing = submission_list.to_bytes([bad])
    root = submission_tree.root({0: submission_tree.leaf(bad)})
    rooted.ledger._transactor.transact("close", "closeWithRoot", (1, root, b"L" * 32, 1), gas=500_000)
    with pytest.raises(LedgerError, match="did not sign"):
        submission_list.fill(rooted.ledger.round(1), listing, rooted.ledger.domain)


def test_a_submission_of_another_round_under_the_root_is_named(rooted: Party) -> None:
    _, first = finish(rooted)
    rooted.open()
    replayed = [first[0], rooted.signed(rooted.hospitals[1])]
    leaves = {seat: submission_tree.leaf(signed) for seat, signed in enumerate(replayed)}
    arguments = (2, submission_tree.root(leaves), b"L" * 32, 3)
    rooted.ledger._transactor.transact("close", "closeWithRoot", arguments, gas=500_000)
    with pytest.raises(LedgerError, match="was signed for round 1"):
        submission_list.fill(rooted.ledger.round(2), submission_list.to_bytes(replayed), rooted.ledger.domain)


def test_what_the_contract_would_not_take_is_not_taken_here(chain: LocalChain) -> None:
    """Else whoever sent it could have the coordinator's bond slashed for it."""
    party = Party.found(chain, recording="root", open_updates=True, update_size=8192)
    party.open()
    good = party.signed(party.hospitals[0], size=8192)
    r, s, v = good.signature[:32], int.from_bytes(good.signature[32:64]), good.signature[64]
    mirrored = r + (CURVE_ORDER - s).to_bytes(32) + bytes([55 - v])
    attempts = [
        party.signed(party.hospitals[0], size=8),
        replace(good, signature=mirrored),
        replace(good, signature=good.signature[:64] + bytes([v - 27])),
        good,
    ]
    names = [v.error.name if v.error else None for v in party.ledger.submit(attempts)]
    assert names == ["WrongSize", "BadSignature", "BadSignature", None]
