"""Credits: a round's whole budget, no more and no less, by weight."""

from fractions import Fraction

import pytest
from contract_party import LocalChain, Party
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcxr.errors import ContractRejectedError

# What a contract decides it decides on any chain; contracts/test holds its rules on a third.
pytestmark = pytest.mark.parametrize("chain", ["embedded"], indirect=True, scope="module")


def shares(weights: list[int], budget: int) -> list[int]:
    """Differences of rounded-down running totals."""
    total, running, given_, out = sum(weights), 0, 0, []
    for weight in weights:
        running += weight
        out.append(int(Fraction(budget * running, total)) - given_)
        given_ += out[-1]
    return out


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(5, 10**6), min_size=1, max_size=6), st.integers(1, 2**64 - 1))
def test_the_whole_budget_is_given_by_weight(chain: LocalChain, samples: list[int], budget: int) -> None:
    party = Party.found(chain, samples, reward_budget=budget)
    party.whole_round()
    weights = party.ledger.round(1).weights
    party.ledger.settle()
    owed = [party.ledger.views.credits()[a] for a in party.addresses]
    assert owed == shares([weights[a] for a in party.addresses], budget)
    assert sum(owed) == budget


def test_who_is_left_out_gets_nothing_and_the_others_all(opened: Party) -> None:
    opened.ledger.submit([opened.signed(h) for h in opened.hospitals])
    opened.close()
    opened.finalize({opened.addresses[0]: "it cannot be opened"})
    opened.ledger.settle()
    owed = opened.ledger.views.credits()
    assert owed[opened.addresses[0]] == 0
    assert owed[opened.addresses[1]] + owed[opened.addresses[2]] == 1000


def test_a_round_is_settled_once_by_anyone_or_by_the_next_opening(party: Party) -> None:
    party.ledger.settle()  # it knows better than to ask before there is anything
    with pytest.raises(ContractRejectedError, match="NothingFinalized"):
        party.ledger._transactor.transact("settle", "settle", (), gas=500_000)
    party.whole_round()
    party.ledger.settle()
    before = party.ledger.views.credits()
    party.ledger.settle()  # nor twice
    with pytest.raises(ContractRejectedError, match="AlreadySettled"):
        party.ledger._transactor.transact("settle", "settle", (), gas=500_000)
    assert party.ledger.views.credits() == before
    party.whole_round()
    party.open()  # settles round 2
    assert sum(party.ledger.views.credits().values()) == 2000


def test_a_federation_without_a_budget_gives_nothing(chain: LocalChain) -> None:
    party = Party.found(chain, reward_budget=0)
    party.whole_round()
    party.ledger.settle()
    party.whole_round()
    assert not any(party.ledger.views.credits().values())
