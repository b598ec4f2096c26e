"""Which updates count where a committee judges, and what its scores are worth."""

from dataclasses import replace

import pytest
from contract_party import FEDERATION, LocalChain, Party, account
from web3.types import Wei

from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.signing import (
    HOSPITAL,
    VALIDATOR,
    Attestation,
    Signed,
    SignedAttestation,
    commitment,
    sign,
)

# What a contract decides it decides on any chain; contracts/test holds its rules on a third.
pytestmark = pytest.mark.parametrize("chain", ["embedded"], indirect=True, scope="module")

SAMPLES = (100, 50, 7, 20, 30)


@pytest.fixture
def judged(chain: LocalChain) -> Party:
    """Five hospitals and an outsider, all validators; the five updates are in, and the round is closed."""
    party = Party.found(chain, SAMPLES, roles=HOSPITAL | VALIDATOR, committee_size=4)
    party.open()
    party.ledger.draw_committee(1)
    assert all(v.accepted for v in party.ledger.submit([party.signed(h) for h in party.hospitals]))
    party.close()
    return party


def key_of(party: Party, address: str) -> int:
    return next(n for n in (9, *range(10, 15)) if account(n).address == address)


def verdict(
    party: Party, validator: str, hospital: str, /, accepted: bool = True, score: int = 0, **changes: object
) -> SignedAttestation:
    attestation = Attestation(
        federation=FEDERATION,
        round=1,
        attempt=1,
        validator=validator,
        hospital=hospital,
        commitment=commitment(party.ledger.views.round_events(1).submission(FEDERATION, hospital)),
        accepted=accepted,
        score=score,
    )
    attestation = replace(attestation, **changes)  # type: ignore[arg-type]
    return Signed(attestation, sign(account(key_of(party, validator)), attestation, party.ledger.domain))


def judge(party: Party, hospital: str, *opinions: tuple[bool, int]) -> None:
    """Let the validators that may, in the order of the draw, say so much."""
    able = [v for v in party.ledger.views.committee() if v != hospital]
    batch = [verdict(party, v, hospital, *o) for v, o in zip(able, opinions, strict=False)]
    assert all(said.accepted for said in party.ledger.attest(batch))


def test_updates_wait_for_the_draw(chain: LocalChain) -> None:
    party = Party.found(chain, SAMPLES, roles=HOSPITAL | VALIDATOR, committee_size=4)
    party.open()
    (said,) = party.ledger.submit([party.signed(party.hospitals[0])])
    assert said.error is not None
    assert said.error.name == "CommitteeNotDrawn"
    drawn = party.ledger.draw_committee(1)
    assert len(set(drawn)) == 4
    assert party.ledger.draw_committee(1) == drawn  # drawn once
    assert party.ledger.submit([party.signed(party.hospitals[0])])[0].accepted


def test_every_validator_is_drawn_sooner_or_later(chain: LocalChain) -> None:
    party = Party.found(chain, SAMPLES, roles=HOSPITAL | VALIDATOR, committee_size=4)
    seen: set[str] = set()
    for _ in range(12):
        party.open()
        seen |= set(party.ledger.draw_committee(1))
        party.ledger.abort(1, "again")
    assert seen == {*party.addresses, party.outsider.address}


def test_an_update_counts_with_a_quorum_and_not_without(judged: Party) -> None:
    good, bad, *others = judged.addresses
    for hospital in (good, *others):
        judge(judged, hospital, (True, 10), (True, 20), (True, 30), (False, -1))
    assert not judged.ledger.countable(1)  # nobody has judged the second yet
    judge(judged, bad, (False, -500), (False, -400), (True, 10), (True, 5))
    assert judged.ledger.countable(1)
    judged.ledger.validate(1)
    view = judged.ledger.round(1)
    assert set(view.counted) == {good, *others}
    assert view.status == "validated"
    with pytest.raises(ContractRejectedError, match="NotAccepted"):
        judged.finalize({bad: "it does not count anyway"})
    judged.finalize()
    assert set(judged.ledger.round(1).included) == {good, *others}


def test_silence_does_not_stop_a_round_for_ever(judged: Party) -> None:
    heard, *silent = judged.addresses
    judge(judged, heard, (True, 1), (True, 1), (True, 1))
    assert not judged.ledger.countable(1)
    with pytest.raises(ContractRejectedError, match="Undecided"):
        judged.ledger.validate(1)
    judged.travel(2000)
    assert judged.ledger.countable(1)
    judged.ledger.validate(1)
    assert judged.ledger.round(1).counted == (heard,)
    assert len(silent) == 4


def test_a_verdict_is_rejected_by_name(judged: Party) -> None:
    committee = judged.ledger.views.committee()
    member = next(v for v in committee if v in judged.addresses)
    hospital = next(a for a in judged.addresses if a != member)
    outside = next(a for a in [*judged.addresses, judged.outsider.address] if a not in committee)
    target = next(a for a in judged.addresses if a not in (outside, member))
    good = verdict(judged, member, target)
    cases = {
        "JudgesItself": verdict(judged, member, member),
        "NotOnCommittee": verdict(judged, outside, target),
        "WrongCommitment": verdict(judged, member, target, commitment=b"X" * 32),
        "WrongFederation": verdict(judged, member, target, federation=b"O" * 32),
        "WrongAttempt": verdict(judged, member, target, attempt=2),
        "WrongPhase": verdict(judged, member, target, round=2),
        "BadSignature": replace(good, message=replace(good.message, score=9)),
    }
    if judged.outsider.address not in (member,):
        stranger = verdict(judged, member, hospital, hospital=judged.outsider.address)
        cases["NotAccepted"] = stranger
    for name, attempt in cases.items():
        (said,) = judged.ledger.attest([attempt])
        assert said.error is not None, name
        assert said.error.name == name
    first, second = judged.ledger.attest([good, verdict(judged, member, target, accepted=False)])
    assert first.accepted
    assert second.error is not None
    assert second.error.name == "AlreadyAttested"


def test_the_score_is_the_median_and_weighs_the_credits(judged: Party) -> None:
    scores = {0: [100, 300, 200], 1: [-10, -10, -10], 2: [0, 0, 50], 3: [10, 10, 10], 4: [1, 1, 1000]}
    for index, hospital in enumerate(judged.addresses):
        judge(judged, hospital, *[(True, score) for score in scores[index]])
    judged.ledger.validate(1)
    view = judged.ledger.round(1)
    judged.finalize()
    judged.ledger.settle()
    # Medians 200, -10, 0, 10 and 1: nothing is owed for no gain.
    gains = dict(zip(judged.addresses, [200, 0, 0, 10, 1], strict=True))
    total = sum(view.weights[a] * gains[a] for a in judged.addresses)
    owed = judged.ledger.views.credits()
    assert sum(owed.values()) == 1000
    for address in judged.addresses:
        assert abs(owed[address] - 1000 * view.weights[address] * gains[address] / total) < 1


@pytest.mark.parametrize("size", [2, 3, 5, 16])
def test_a_committee_is_3f_plus_1_and_at_most_13(chain: LocalChain, size: int) -> None:
    with pytest.raises(ContractRejectedError, match="BadCommittee"):
        Party.found(chain, committee_size=size)


def test_a_committee_needs_each_submission_on_the_chain(chain: LocalChain) -> None:
    with pytest.raises(ContractRejectedError, match="CommitteeNeedsEach"):
        Party.found(chain, committee_size=1, recording="root")


def test_an_update_is_judged_under_the_key_that_submitted_it_though_that_was_rotated(judged: Party) -> None:
    hospital = next(a for a in judged.addresses if a not in judged.ledger.views.committee()[:3])
    judged.rotate(account(key_of(judged, hospital)), account(700))
    judge(judged, hospital, (True, 1), (True, 1), (True, 1))
    judged.travel(2000)
    judged.ledger.validate(1)
    assert judged.ledger.round(1).counted == (hospital,)


def test_a_draw_that_comes_too_late_is_named(chain: LocalChain) -> None:
    """The chain forgets the hash of a block after 256 more."""
    party = Party.found(chain, SAMPLES, roles=HOSPITAL | VALIDATOR, committee_size=4)
    party.open()
    for _ in range(257):
        party.chain.fund(account(900).address)
        party.chain.w3.sender(account(1)).deliver(
            {"to": account(900).address, "value": Wei(1), "gas": 21_000}
        )
    with pytest.raises(ContractRejectedError, match="DrawTooLate"):
        party.ledger.draw_committee(1)
