"""An audit computes weights and shares anew: what the events say is no more than what it is held to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contract_party import LocalChain, Party

from fedcxr.audit.findings import AuditReport
from fedcxr.audit.weights import check_weights, what_it_binds
from fedcxr.ledger.bounds import UNBOUND, Bounds
from fedcxr.ledger.protocol import RoundView

pytestmark = pytest.mark.parametrize("chain", ["embedded"], indirect=True, scope="module")
SAMPLES = (1_000_000, 110, 100, 100)


def played(chain: LocalChain, bounds: Bounds) -> tuple[Party, RoundView]:
    party = Party.found(chain, SAMPLES, bounds=bounds)
    party.whole_round()
    return party, party.ledger.round(1)


def findings(party: Party, view: RoundView) -> list[tuple[str, str]]:
    report = AuditReport()
    check_weights(party.ledger.views, view, report)
    return [(finding.where, finding.hospital) for finding in report.findings]


@pytest.mark.parametrize("bounds", [UNBOUND, Bounds(rounds=3, largest_share=3000)], ids=["free", "bound"])
def test_the_contracts_weights_are_those_of_the_rule(chain: LocalChain, bounds: Bounds) -> None:
    assert findings(*played(chain, bounds)) == []


def test_another_weight_is_a_finding(chain: LocalChain) -> None:
    party, view = played(chain, Bounds(largest_share=3000))
    giant = party.addresses[0]
    told = replace(view, weights={**view.weights, giant: view.weights[giant] + 1})
    assert findings(party, told) == [("weight", giant)]


def test_too_large_a_share_among_the_included_is_a_finding(chain: LocalChain) -> None:
    party, view = played(chain, Bounds(largest_share=3000))
    giant = party.addresses[0]
    told = replace(view, included=view.included[:2])
    assert findings(party, told) == [("weight among the included", giant)]


def test_participants_that_are_too_few_for_the_share_are_a_finding(chain: LocalChain) -> None:
    party, view = played(chain, Bounds(largest_share=3000))
    assert findings(party, replace(view, participants=view.participants[:3])) == [("weights", "")]


def test_what_is_bound_is_said(chain: LocalChain) -> None:
    views = played(chain, Bounds(rounds=3, shortest_deadline=60, largest_share=3000))[0].ledger.views
    said = "3 rounds, each open for 60 s at least, 30.00% of the weight at most for one hospital"
    assert what_it_binds(views) == f"the contract binds: {said}"
    views = played(chain, UNBOUND)[0].ledger.views
    free = "any number of rounds, no bound on a hospital's share of the weight"
    assert what_it_binds(views) == f"the contract binds: {free}"
