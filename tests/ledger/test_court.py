"""The contract adds a chunk itself: an aggregate that is wrong anywhere costs the coordinator its bond."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from contract_party import LocalChain, Party, account
from numpy.typing import NDArray
from web3 import Web3

from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.court import DisputeCourt, Result, result_of
from fedcxr.ledger.openings import SubmissionOpening
from fedcxr.ledger.signing import SignedSubmission
from fedcxr.update import merkle

# What a contract decides it decides on any chain; contracts/test holds its rules on a third.
pytestmark = pytest.mark.parametrize("chain", ["embedded"], indirect=True, scope="module")

SIZE = 2500  # values: two whole leaves and a short one
BOND = 10**18


@dataclass
class OpenRound:
    """A finalized round of plain vectors."""

    party: Party
    vectors: list[NDArray[np.uint32]]
    signed: list[SignedSubmission]
    aggregate: NDArray[np.uint32]
    result: Result
    court: DisputeCourt

    def challenge(self, leaf: int, **changes: object) -> None:
        arguments: dict[str, object] = {
            "result": self.result,
            "leaf_index": leaf,
            "openings": [
                SubmissionOpening(s.message, chunk(v, leaf), merkle.proof(v, leaf))
                for s, v in zip(self.signed, self.vectors, strict=True)
            ],
            "aggregate_leaf": chunk(self.aggregate, leaf),
            "aggregate_path": merkle.proof(self.aggregate, leaf),
        }
        self.court.challenge(**{**arguments, **changes})  # type: ignore[arg-type]


def chunk(vector: NDArray[np.uint32], leaf: int) -> bytes:
    return vector.tobytes()[4096 * leaf : 4096 * (leaf + 1)]


def rejected(call: object) -> str:
    with pytest.raises(ContractRejectedError) as raised:
        call()  # type: ignore[operator]
    return raised.value.name


def play(chain: LocalChain, *, wrong: int | None = None, hospitals: int = 3) -> OpenRound:
    """A round whose aggregate is wrong in one value, or right."""
    party = Party.found(
        chain, [10] * hospitals, open_updates=True, update_size=4 * SIZE, minimum_bond=BOND, reward_budget=0
    )
    court = DisputeCourt(chain.w3, party.ledger.views.court, party.coordinator)
    court.post_bond(BOND)
    party.open()
    rng = np.random.default_rng(5)
    vectors = [rng.integers(0, 2**32, SIZE, np.uint32) for _ in range(hospitals)]
    signed = [
        party.signed(h, root=merkle.root(v), size=v.nbytes)
        for h, v in zip(party.hospitals, vectors, strict=True)
    ]
    assert all(v.accepted for v in party.ledger.submit(signed))
    party.close()
    aggregate = np.sum(vectors, axis=0, dtype=np.uint32)
    if wrong is not None:
        aggregate[wrong] += 1
    party.ledger.finalize(1, aggregate_root=merkle.root(aggregate), model_digest=b"N" * 32, excluded={})
    challenger = account(66)
    chain.fund(challenger.address)
    theirs = DisputeCourt(chain.w3, court.address, challenger)
    return OpenRound(party, vectors, signed, aggregate, result_of(party.ledger.views, 1), theirs)


@pytest.mark.parametrize("hospitals", [1, 4])
def test_a_right_sum_cannot_be_challenged(chain: LocalChain, hospitals: int) -> None:
    played = play(chain, hospitals=hospitals)
    for leaf in range(3):
        assert rejected(lambda k=leaf: played.challenge(k)) == "AggregateCorrect"
    assert played.court.bond == BOND


@pytest.mark.parametrize("wrong", [0, 1023, 1024, SIZE - 1])
def test_one_wrong_value_costs_the_bond(chain: LocalChain, wrong: int) -> None:
    played = play(chain, wrong=wrong)
    for leaf in {0, 1, 2} - {wrong // 1024}:
        assert rejected(lambda k=leaf: played.challenge(k)) == "AggregateCorrect"
    played.challenge(wrong // 1024)
    assert played.court.bond == 0
    assert played.party.chain.w3.eth.get_balance(Web3.to_checksum_address(played.court.address)) == BOND
    assert rejected(lambda: played.challenge(wrong // 1024)) == "AlreadyDisputed"
    assert rejected(played.party.open) == "BondTooSmall"  # no round goes on without a new bond


def test_nothing_but_what_is_committed_can_be_shown(chain: LocalChain) -> None:
    played = play(chain, wrong=7)
    good = [
        SubmissionOpening(s.message, chunk(v, 0), merkle.proof(v, 0))
        for s, v in zip(played.signed, played.vectors, strict=True)
    ]
    other = chunk(played.vectors[0] + np.uint32(1), 0)
    cases: list[tuple[str, dict[str, object]]] = [
        ("NotAResult", {"result": replace(played.result, aggregate_root=b"A" * 32)}),
        ("NotAResult", {"result": replace(played.result, included=3)}),
        ("LengthMismatch", {"openings": good[:2]}),
        ("NotCommitted", {"openings": [good[1], good[0], good[2]]}),
        ("PathDoesNotLead", {"openings": [replace(good[0], leaf=other), *good[1:]]}),
        ("PathDoesNotLead", {"openings": [replace(good[0], path=good[0].path[1:]), *good[1:]]}),
        ("PathDoesNotLead", {"aggregate_leaf": other}),
        ("PathDoesNotLead", {"aggregate_path": []}),
    ]
    for name, changes in cases:
        assert rejected(lambda c=changes: played.challenge(0, **c)) == name, changes
    assert rejected(lambda: played.challenge(2, leaf_index=3)) == "NoSuchLeaf"
    assert played.court.bond == BOND


def test_the_window_closes(chain: LocalChain) -> None:
    played = play(chain, wrong=7)
    assert played.court.disputable(played.result)
    played.party.travel(1500)
    assert not played.court.disputable(played.result)
    assert rejected(lambda: played.challenge(0)) == "DisputeWindowOver"


def test_the_bond_comes_back_after_the_last_window(chain: LocalChain) -> None:
    played = play(chain)
    court = DisputeCourt(chain.w3, played.court.address, played.party.coordinator)
    assert rejected(played.court.announce_release) == "NotCoordinator"
    assert rejected(court.release) == "BondLocked"
    court.announce_release()
    assert rejected(court.release) == "BondLocked"
    assert rejected(played.party.open) == "BondTooSmall"
    played.party.travel(1500)
    court.release()
    assert court.bond == 0


def test_sealed_updates_cannot_be_added(chain: LocalChain) -> None:
    party = Party.found(chain)
    party.whole_round()
    court = DisputeCourt(chain.w3, party.ledger.views.court, party.coordinator)
    assert (
        rejected(lambda: court.challenge(result_of(party.ledger.views, 1), 0, [], b"", []))
        == "UpdatesAreSealed"
    )


def test_an_open_update_of_another_size_is_rejected(chain: LocalChain) -> None:
    party = Party.found(chain, open_updates=True, update_size=8192)
    party.open()
    (said,) = party.ledger.submit([party.signed(party.hospitals[0], size=8188)])
    assert said.error is not None
    assert said.error.name == "WrongSize"
