"""Who belongs, under which key, and who decides it."""

import hashlib
from dataclasses import replace

import pytest
from contract_party import ENVELOPE_KEY, FEDERATION, LocalChain, Party, account, registration

from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.history import not_asked
from fedcxr.ledger.signing import (
    AUDITOR,
    HOSPITAL,
    VALIDATOR,
    Approval,
    Departure,
    Rotation,
    commitment,
    sign,
)

# What a contract decides it decides on any chain; contracts/test holds its rules on a third.
pytestmark = pytest.mark.parametrize("chain", ["embedded"], indirect=True, scope="module")

NEW_KEY = b"another envelope key"


def rejected(call: object) -> str:
    with pytest.raises(ContractRejectedError) as raised:
        call()  # type: ignore[operator]
    return raised.value.name


def rotate(p: Party, number: int, successor: int, *, old: int | None = None) -> None:
    digest = hashlib.sha256(NEW_KEY).digest()
    rotation = Rotation(FEDERATION, account(number).address, account(successor).address, digest)
    domain = p.ledger.domain
    signatures = (
        sign(account(number if old is None else old), rotation, domain),
        sign(account(successor), rotation, domain),
    )
    p.ledger.membership.rotate_key(rotation, NEW_KEY, *signatures)


def leave(p: Party, number: int) -> None:
    departure = Departure(FEDERATION, account(number).address)
    p.ledger.membership.leave(departure, sign(account(number), departure, p.ledger.domain))


def approve(p: Party, action: bytes, *numbers: int) -> None:
    for number in numbers:
        approval = Approval(FEDERATION, action, account(number).address)
        p.ledger.membership.approve(approval, sign(account(number), approval, p.ledger.domain))


# -------------------------------------------------------------------------------------------------- keys


def test_a_rotated_key_is_worthless_and_its_successor_has_the_seat(opened: Party) -> None:
    rotate(opened, 10, 500)
    old = opened.signed(opened.hospitals[0])
    assert rejected(lambda: opened.ledger.submit_direct(old)) == "NotActive"
    opened.ledger.submit_direct(opened.signed(account(500)))
    view = opened.ledger.round(1)
    assert view.seats[account(500).address] == 0
    assert view.weights[account(500).address] > 0
    assert (
        opened.ledger.views.seat_of(account(10).address)
        == opened.ledger.views.seat_of(account(500).address)
        == 0
    )
    member = opened.ledger.members()[0]
    assert (member.address, member.samples) == (account(500).address, 100)
    assert member.envelope_key_digest == hashlib.sha256(NEW_KEY).digest()


def test_what_the_old_key_signed_before_stands(opened: Party) -> None:
    signed = opened.signed(opened.hospitals[0])
    opened.ledger.submit_direct(signed)
    rotate(opened, 10, 500)
    again = opened.signed(account(500))
    assert rejected(lambda: opened.ledger.submit_direct(again)) == "AlreadySubmitted"
    opened.close()
    opened.finalize()
    view = opened.ledger.round(1)
    assert view.included == (opened.addresses[0],)  # the key of its time
    assert opened.ledger.views.commitment(1, 1, 0) == commitment(signed.message)


def test_a_rotation_needs_both_keys_and_a_successor_without_a_seat(party: Party) -> None:
    assert rejected(lambda: rotate(party, 10, 500, old=11)) == "BadSignature"
    assert rejected(lambda: rotate(party, 10, 11)) == "AlreadyRegistered"
    rotate(party, 10, 500)
    assert rejected(lambda: rotate(party, 10, 501)) == "NotActive"
    assert rejected(lambda: rotate(party, 500, 10)) == "AlreadyRegistered"  # a key is not taken up again


def test_a_key_of_the_past_cannot_register_anew(party: Party) -> None:
    rotate(party, 10, 500)
    assert rejected(lambda: party.register(party.hospitals[0], 7)) == "AlreadyRegistered"
    leave(party, 11)
    assert rejected(lambda: party.register(party.hospitals[1], 7)) == "AlreadyRegistered"


# ---------------------------------------------------------------------------------------------- standing


def test_who_left_takes_no_part_and_is_not_called_left_out(party: Party) -> None:
    leave(party, 11)
    assert party.ledger.members()[1].standing == "left"
    assert rejected(party.open) == "UnknownSeats"
    stayed = [party.addresses[0], party.addresses[2]]
    party.ledger.open_round(
        1, base=b"G" * 32, config_digest=b"R" * 32, participants=stayed, deadline_seconds=100
    )
    assert not_asked(party.ledger.views, 1) == [party.outsider.address]


def test_a_suspended_key_is_worthless_until_it_is_reinstated(opened: Party) -> None:
    address = opened.addresses[0]
    opened.ledger.membership.suspend(address)
    signed = opened.signed(opened.hospitals[0])
    assert rejected(lambda: opened.ledger.submit_direct(signed)) == "NotActive"
    assert rejected(lambda: rotate(opened, 10, 500)) == "NotActive"
    assert rejected(lambda: opened.ledger.membership.suspend(address)) == "NotActive"
    opened.ledger.membership.reinstate(address)
    opened.ledger.submit_direct(signed)
    assert rejected(lambda: opened.ledger.membership.reinstate(address)) == "NotSuspended"


def test_only_the_coordinator_suspends_where_it_admits(party: Party) -> None:
    party.chain.fund(account(66).address)
    stranger = FederationLedger.attach(party.chain.w3, party.ledger.address, account(66))
    assert rejected(lambda: stranger.membership.suspend(party.addresses[0])) == "NotCoordinator"


def test_roles_are_those_of_membership(party: Party) -> None:
    contract = party.ledger.views._connection.contract
    role = {name: bytes(contract.function(f"{name}_ROLE")().call()) for name in ("HOSPITAL", "VALIDATOR")}
    auditor = account(300)
    request = registration(auditor, 0, AUDITOR | VALIDATOR)
    party.ledger.register(request, ENVELOPE_KEY, sign(auditor, request, party.ledger.domain))
    has = contract.function("hasRole")
    assert has(role["VALIDATOR"], auditor.address).call()
    assert not has(role["HOSPITAL"], auditor.address).call()
    assert has(role["HOSPITAL"], party.addresses[0]).call()
    party.ledger.membership.suspend(party.addresses[0])
    assert not has(role["HOSPITAL"], party.addresses[0]).call()
    grant = ("grantRole", (role["HOSPITAL"], auditor.address))
    assert (
        rejected(lambda: party.ledger._transactor.transact("grant", *grant, gas=100_000))
        == "RolesFollowMembership"
    )


@pytest.mark.parametrize(("roles", "samples"), [(0, 5), (8, 5), (VALIDATOR, 5)])
def test_roles_that_cannot_be_are_rejected(party: Party, roles: int, samples: int) -> None:
    request = registration(account(300), samples, roles)
    signature = sign(account(300), request, party.ledger.domain)
    assert rejected(lambda: party.ledger.register(request, ENVELOPE_KEY, signature)) == "BadRoles"


# ------------------------------------------------------------------------------------------------- votes


@pytest.fixture
def voting(chain: LocalChain) -> Party:
    """Four hospitals that decide by vote, after a first round."""
    party = Party.found(chain, admission="vote")
    party.whole_round()
    return party


def test_more_than_half_of_the_hospitals_let_a_member_in(voting: Party) -> None:
    newcomer = account(300)
    request = registration(newcomer, 9)
    signature = sign(newcomer, request, voting.ledger.domain)
    action = commitment(request)
    for votes, outcome in ((0, "NotApproved"), (2, "NotApproved"), (3, "")):
        approve(voting, action, *[10, 11, 12][:votes])
        if outcome:
            error = rejected(lambda: voting.ledger.register(request, ENVELOPE_KEY, signature))
            assert error == outcome, votes
    voting.ledger.register(request, ENVELOPE_KEY, signature)
    assert voting.ledger.members()[-1].address == newcomer.address


def test_a_vote_counts_once_and_not_after_its_voter_was_suspended(voting: Party) -> None:
    action = voting.ledger.views.change_action("suspend", voting.addresses[2])
    approve(voting, action, 10, 10, 11)
    assert rejected(lambda: voting.ledger.membership.suspend(voting.addresses[2])) == "NotApproved"
    other = voting.ledger.views.change_action("suspend", voting.addresses[0])
    approve(voting, other, 11, 12, 9)
    voting.ledger.membership.suspend(voting.addresses[0])
    # Three are left, of whom one has voted; a second makes more than half.
    assert rejected(lambda: voting.ledger.membership.suspend(voting.addresses[2])) == "NotApproved"
    approve(voting, action, 9)
    voting.ledger.membership.suspend(voting.addresses[2])


def test_votes_for_one_suspension_do_not_serve_for_the_next(voting: Party) -> None:
    target = voting.addresses[0]
    approve(voting, voting.ledger.views.change_action("suspend", target), 11, 12, 9)
    voting.ledger.membership.suspend(target)
    approve(voting, voting.ledger.views.change_action("reinstate", target), 11, 12)
    voting.ledger.membership.reinstate(target)
    assert rejected(lambda: voting.ledger.membership.suspend(target)) == "NotApproved"


def test_a_stranger_has_no_vote(voting: Party) -> None:
    approval = Approval(FEDERATION, b"A" * 32, account(66).address)
    signature = sign(account(66), approval, voting.ledger.domain)
    assert rejected(lambda: voting.ledger.membership.approve(approval, signature)) == "NotActive"
    forged = replace(approval, member=voting.addresses[0])
    assert rejected(lambda: voting.ledger.membership.approve(forged, signature)) == "BadSignature"


def test_the_founders_are_gathered_by_the_coordinator(chain: LocalChain) -> None:
    party = Party.found(chain, admission="vote")  # registers four, none of whom could have voted
    assert all(member.roles == HOSPITAL for member in party.ledger.members())
