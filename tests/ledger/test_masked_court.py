"""The contract adds a word of forty masked updates, in several transactions and of two header leaves each."""

from __future__ import annotations

import numpy as np
import pytest
from contract_party import LocalChain, Party, account

from fedcxr.audit.disputes.masked_challenge import opened
from fedcxr.audit.disputes.public_round import Committed
from fedcxr.bench import secagg
from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.court import DisputeCourt, result_of
from fedcxr.ledger.openings import in_transactions
from fedcxr.masked_rounds.answers import Seeds
from fedcxr.update import merkle

# What a contract decides it decides on any chain; contracts/test holds its rules on a third.
pytestmark = pytest.mark.parametrize("chain", ["embedded"], indirect=True, scope="module")

HOSPITALS, MISSING = 40, (2, 36, 39)
VALUES = 1500  # a whole leaf and a short one
WORD = 1200  # in the second
BOND = 10**18


@pytest.mark.parametrize("wrong", [0, 1])
def test_forty_hospitals_of_which_three_are_missing(chain: LocalChain, wrong: int) -> None:
    masked = secagg.Party(HOSPITALS, VALUES)
    seats = [seat for seat in range(HOSPITALS) if seat not in MISSING]
    masks = {seat: masked.mask(seat) for seat in seats}
    rng = np.random.default_rng(7)
    vectors = {seat: rng.integers(0, 2**32, VALUES, np.uint32) for seat in seats}
    blobs = {seat: masked.protect(vectors[seat].copy(), masks[seat]) for seat in seats}
    seeds = Seeds(
        {seat: masks[seat].self_seed for seat in seats},
        {(seat, other): masks[seat].pair_seeds[other] for seat in seats for other in MISSING},
    )
    party = Party.found(chain, [10] * HOSPITALS, update_size=4 * VALUES, minimum_bond=BOND, reward_budget=0)
    DisputeCourt(chain.w3, party.ledger.views.court, party.coordinator).post_bond(BOND)
    party.open()
    signed = [
        party.signed(hospital, root=merkle.root(blobs[seat]), size=len(blobs[seat]))
        if seat in blobs
        else party.signed(hospital)
        for seat, hospital in enumerate(party.hospitals)
    ]
    for at in range(0, HOSPITALS, 10):
        assert all(verdict.accepted for verdict in party.ledger.submit(signed[at : at + 10]))
    party.close()
    aggregate = np.sum(list(vectors.values()), axis=0, dtype=np.uint32)
    aggregate[WORD] += wrong
    left_out = {party.hospitals[seat].address: "it is missing" for seat in MISSING}
    party.ledger.finalize(1, aggregate_root=merkle.root(aggregate), model_digest=b"N" * 32, excluded=left_out)
    openings = [
        opened(
            masked.attempt,
            seat,
            np.frombuffer(blobs[seat], np.uint8),
            seeds,
            WORD // 1024,
            committed=Committed(signed[seat].message),
        )
        for seat in seats
    ]
    assert {len(opening.leaves) for opening in openings} == {3}
    assert len(list(in_transactions(openings))) > 1
    challenger = account(66)
    chain.fund(challenger.address)
    court = DisputeCourt(chain.w3, party.ledger.views.court, challenger)

    def challenge() -> None:
        court.challenge_masked(
            result_of(party.ledger.views, 1),
            WORD,
            openings,
            context=masked.attempt.preimage,
            aggregate_leaf=aggregate.tobytes()[4096:],
            aggregate_path=merkle.proof(aggregate, 1),
        )

    if wrong:
        challenge()
        assert court.bond == 0
        assert court.disputed(1)
    else:
        with pytest.raises(ContractRejectedError, match="AggregateCorrect"):
            challenge()
        assert court.bond == BOND
