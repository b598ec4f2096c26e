"""An audit says what the contract binds."""

from __future__ import annotations

import pytest
from contract_party import LocalChain, Party

from fedcxr.audit.openings import what_it_binds
from fedcxr.ledger.bounds import UNBOUND, Bounds


@pytest.mark.parametrize("chain", ["embedded"], indirect=True)
def test_what_is_bound_is_said(chain: LocalChain) -> None:
    bounds = Bounds(rounds=3, shortest_deadline=60, largest_share=4000)
    said = "3 rounds, each open for 60 s at least, 40.00% of the weight at most for one hospital"
    assert what_it_binds(Party.found(chain, bounds=bounds).ledger.views) == f"the contract binds: {said}"
    free = "any number of rounds, no bound on a hospital's share of the weight"
    assert what_it_binds(Party.found(chain, bounds=UNBOUND).ledger.views) == f"the contract binds: {free}"
