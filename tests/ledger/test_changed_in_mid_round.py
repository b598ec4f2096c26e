"""Keys rotated, hospitals suspended or gone while a round is open, whichever way submissions are recorded."""

import hashlib
from collections.abc import Callable

import pytest
from contract_party import FEDERATION, LocalChain, Party, account

from fedcxr.audit.conduct import check_conduct
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.scope import Scope
from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.event_views import EventViews
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import Departure, sign
from fedcxr.ledger.submissions import listing as submission_list


@pytest.fixture(params=["each", "root"])
def party(chain: LocalChain, request: pytest.FixtureRequest) -> Party:
    party = Party.found(chain, recording=request.param)
    party.open()
    return party


def close(party: Party) -> RoundView:
    """Close the round; what is accepted, with the list of submissions where there is one."""
    number, listing = party.ledger.round_in_progress, party.ledger.listing()
    party.ledger.close(number, hashlib.sha256(listing).digest())
    view = party.ledger.round(number)
    return submission_list.fill(view, listing, party.ledger.domain) if listing else view


def test_a_hospital_whose_key_was_rotated_before_it_submitted_is_known_by_its_new_one(party: Party) -> None:
    first, second, third = party.hospitals
    weight = party.ledger.round(1).weights[first.address]
    party.rotate(first, account(700))
    opened = party.ledger.round(1)
    assert opened.participants == (account(700).address, second.address, third.address)
    assert opened.weights[account(700).address] == weight
    verdicts = party.ledger.submit([party.signed(h) for h in (first, account(700), second)])
    assert [v.error.name if v.error else None for v in verdicts] == ["NotActive", None, None]
    view = close(party)
    assert set(view.accepted) == set(view.counted) == {account(700).address, second.address}
    party.finalize()
    assert party.ledger.round(1).seats[account(700).address] == 0


def test_an_update_stays_in_when_its_key_is_rotated_afterwards(party: Party) -> None:
    first, second, _ = party.hospitals
    party.ledger.submit([party.signed(first), party.signed(second)])
    party.rotate(first, account(700))
    again = party.ledger.submit([party.signed(account(700))])
    assert [v.error.name for v in again if v.error] == ["AlreadySubmitted"]
    view = close(party)
    assert set(view.accepted) == set(view.counted) == {first.address, second.address}
    party.rotate(account(700), account(701))  # after closing it is a matter of the next round
    party.finalize()
    assert account(701).address not in party.ledger.round(1).seats
    party.hospitals[0] = account(701)
    assert party.ledger.round(1).weights[first.address] == party.open().weights[account(701).address]


def suspend(party: Party) -> None:
    party.ledger.membership.suspend(party.hospitals[0].address)


def leave(party: Party) -> None:
    leaver = party.hospitals[0]
    departure = Departure(FEDERATION, leaver.address)
    party.ledger.membership.leave(departure, sign(leaver, departure, party.ledger.domain))


@pytest.mark.parametrize("go", [suspend, leave])
def test_an_update_of_a_hospital_that_went_is_left_out_where_the_chain_does_not_hold_it(
    party: Party, go: Callable[[Party], None]
) -> None:
    first, second, third = party.hospitals
    party.ledger.submit([party.signed(h) for h in party.hospitals])
    go(party)
    left = {second.address, third.address}
    held = left | ({first.address} if party.ledger.views.recording == "each" else set())
    assert set(close(party).accepted) == held


def test_what_a_hospital_brought_itself_stays_in_when_it_goes(party: Party) -> None:
    party.ledger.submit([party.signed(h) for h in party.hospitals[1:]])
    party.ledger.submit_direct(party.signed(party.hospitals[0]))
    suspend(party)
    assert set(close(party).accepted) == set(party.addresses)


def test_a_suspension_after_the_list_was_made_makes_another_one_necessary(chain: LocalChain) -> None:
    party = Party.found(chain, recording="root")
    party.open()
    party.ledger.submit([party.signed(h) for h in party.hospitals])
    first = party.ledger.listing()
    suspend(party)
    with pytest.raises(ContractRejectedError, match="UnknownSeats"):
        party.ledger.close(1, hashlib.sha256(first).digest())
    assert len(close(party).accepted) == 2


def test_a_hospital_that_is_asked_again_under_its_new_key_was_not_forgotten(chain: LocalChain) -> None:
    party = Party.found(chain)
    party.open()
    party.ledger.submit([party.signed(h) for h in party.hospitals])
    party.ledger.abort(1, "for the test")
    party.rotate(party.hospitals[0], account(700))
    party.hospitals[0] = account(700)
    party.whole_round()
    report = AuditReport()
    check_conduct(EventViews.of(party.ledger.views), Scope(), 1, report)
    assert report.findings == []
