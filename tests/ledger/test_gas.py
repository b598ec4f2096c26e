"""A federation of any size that the contract admits fits the gas that the client sends, and a block."""

import pytest
from contract_party import LocalChain, Party, account

from fedcxr.chain.embedded.evm import GAS_LIMIT


@pytest.mark.parametrize("count", [64, pytest.param(255, marks=pytest.mark.slow)])
def test_a_whole_round_fits(chain: LocalChain, count: int) -> None:
    party = Party.found(chain, [100 + i for i in range(count)])
    party.open()
    half = party.hospitals[: count // 2]
    assert all(v.accepted for v in party.ledger.submit([party.signed(h, attempt=1) for h in half]))
    # A batch in which each is rejected must fit, too.
    assert not any(v.accepted for v in party.ledger.submit([party.signed(h, attempt=1) for h in half]))
    assert all(
        v.accepted
        for v in party.ledger.submit([party.signed(h, attempt=1) for h in party.hospitals[count // 2 :]])
    )
    party.close()
    excluded = dict.fromkeys(party.addresses[::3], "it cannot be opened with the coordinator's key")
    party.finalize(excluded)
    party.ledger.settle()
    assert party.ledger.round(1).excluded == excluded
    assert max(party.ledger.gas_used.values()) < GAS_LIMIT * 2  # registrations and submissions are several


def test_a_direct_submission_costs_what_is_documented(opened: Party) -> None:
    opened.ledger.gas_used.clear()
    opened.ledger.submit_direct(opened.signed(opened.hospitals[0]))
    assert opened.ledger.gas_used["submit"] < 120_000
    stranger = account(5)
    assert stranger.address not in opened.ledger.round(1).accepted
