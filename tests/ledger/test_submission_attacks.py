"""Every way to get an update in that does not belong there, both ways, against the real contract."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from contract_party import GENESIS, Party, account, deploy

from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.signing import Domain, SignedSubmission, sign

# What a contract decides it decides on any chain; contracts/test holds its rules on a third.
pytestmark = pytest.mark.parametrize("chain", ["embedded"], indirect=True, scope="module")

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def replayed_in_a_later_round(p: Party) -> SignedSubmission:
    early = p.signed(p.hospitals[0])
    p.ledger.submit([early])
    p.close()
    p.finalize()
    p.open()
    return early


def submitted_again(p: Party) -> SignedSubmission:
    signed = p.signed(p.hospitals[0])
    p.ledger.submit([signed])
    return signed


def double_with_another_root(p: Party) -> SignedSubmission:
    p.ledger.submit([p.signed(p.hospitals[0])])
    return p.signed(p.hospitals[0], root=b"2" * 32)


def forged_with_another_key(p: Party) -> SignedSubmission:
    return p.signed(p.hospitals[0], key=p.hospitals[1])


def forged_by_the_coordinator(p: Party) -> SignedSubmission:
    return p.signed(p.hospitals[0], key=p.coordinator)


def changed_after_signing(p: Party) -> SignedSubmission:
    signed = p.signed(p.hospitals[0])
    return replace(signed, message=replace(signed.message, root=b"X" * 32))


def late(p: Party) -> SignedSubmission:
    signed = p.signed(p.hospitals[0])
    p.travel(20_000)
    return signed


def with_a_wrong_base(p: Party) -> SignedSubmission:
    return p.signed(p.hospitals[0], base=b"B" * 32)


def signed_for_an_aborted_attempt(p: Party) -> SignedSubmission:
    signed = p.signed(p.hospitals[0])
    p.ledger.abort(1, "quorum")
    p.open()
    return signed


def for_an_attempt_to_come(p: Party) -> SignedSubmission:
    return p.signed(p.hospitals[0], attempt=2)


def with_more_samples_than_registered(p: Party) -> SignedSubmission:
    return p.signed(p.hospitals[0], samples=101)


def with_no_samples(p: Party) -> SignedSubmission:
    return p.signed(p.hospitals[0], samples=0)


def of_a_hospital_that_was_not_asked(p: Party) -> SignedSubmission:
    return p.signed(p.outsider)


def of_a_stranger(p: Party) -> SignedSubmission:
    return p.signed(account(777))


def of_the_zero_address_without_a_signature(p: Party) -> SignedSubmission:
    return SignedSubmission(p.submission(account(1), hospital="0x" + "00" * 20), b"")


def for_another_federation(p: Party) -> SignedSubmission:
    return p.signed(p.hospitals[0], federation=b"O" * 32)


def signed_for_another_chain(p: Party) -> SignedSubmission:
    return p.signed(p.hospitals[0], domain=Domain(1, p.ledger.address))


def signed_for_another_contract(p: Party) -> SignedSubmission:
    other = deploy(p.chain.w3, p.coordinator)
    return p.signed(p.hospitals[0], domain=other.domain)


def with_the_mirrored_signature(p: Party) -> SignedSubmission:
    """(r, n - s, other v) recovers to the same key, and would be a second signature of the same message."""
    signed = p.signed(p.hospitals[0])
    r, s, v = signed.signature[:32], int.from_bytes(signed.signature[32:64], "big"), signed.signature[64]
    return replace(signed, signature=r + (CURVE_ORDER - s).to_bytes(32, "big") + bytes([55 - v]))


def with_a_short_signature(p: Party) -> SignedSubmission:
    signed = p.signed(p.hospitals[0])
    return replace(signed, signature=signed.signature[:64])


def with_a_long_signature(p: Party) -> SignedSubmission:
    signed = p.signed(p.hospitals[0])
    return replace(signed, signature=signed.signature + b"\0")


def without_a_signature(p: Party) -> SignedSubmission:
    return replace(p.signed(p.hospitals[0]), signature=b"")


def of_no_bytes(p: Party) -> SignedSubmission:
    return p.signed(p.hospitals[0], size=0)


def without_a_root(p: Party) -> SignedSubmission:
    return p.signed(p.hospitals[0], root=bytes(32))


def for_round_zero(p: Party) -> SignedSubmission:
    return p.signed(p.hospitals[0], round=0)


def for_a_round_to_come(p: Party) -> SignedSubmission:
    return p.signed(p.hospitals[0], round=2)


def when_none_is_open(p: Party) -> SignedSubmission:
    signed = p.signed(p.hospitals[0])
    p.ledger.abort(1, "quorum")
    return signed


ATTACKS: list[tuple[Callable[[Party], SignedSubmission], str]] = [
    (replayed_in_a_later_round, "WrongPhase"),
    (submitted_again, "AlreadySubmitted"),
    (double_with_another_root, "AlreadySubmitted"),
    (forged_with_another_key, "BadSignature"),
    (forged_by_the_coordinator, "BadSignature"),
    (changed_after_signing, "BadSignature"),
    (late, "DeadlinePassed"),
    (with_a_wrong_base, "WrongBase"),
    (signed_for_an_aborted_attempt, "WrongAttempt"),
    (for_an_attempt_to_come, "WrongAttempt"),
    (with_more_samples_than_registered, "TooManySamples"),
    (with_no_samples, "NoSamples"),
    (of_a_hospital_that_was_not_asked, "NotParticipant"),
    (of_a_stranger, "NotActive"),
    (of_the_zero_address_without_a_signature, "NotActive"),
    (for_another_federation, "WrongFederation"),
    (signed_for_another_chain, "BadSignature"),
    (signed_for_another_contract, "BadSignature"),
    (with_the_mirrored_signature, "BadSignature"),
    (with_a_short_signature, "BadSignature"),
    (with_a_long_signature, "BadSignature"),
    (without_a_signature, "BadSignature"),
    (of_no_bytes, "EmptyUpdate"),
    (without_a_root, "EmptyUpdate"),
    (for_round_zero, "WrongPhase"),
    (for_a_round_to_come, "WrongPhase"),
    (when_none_is_open, "WrongPhase"),
]


@pytest.mark.parametrize(("attack", "error"), ATTACKS, ids=[attack.__name__ for attack, _ in ATTACKS])
def test_an_update_is_rejected_by_name(
    opened: Party, attack: Callable[[Party], SignedSubmission], error: str
) -> None:
    signed = attack(opened)
    number = signed.message.round
    before = opened.ledger.round(opened.number).accepted
    with pytest.raises(ContractRejectedError) as reverted:
        opened.ledger.submit_direct(signed)
    assert reverted.value.name == error
    (verdict,) = opened.ledger.submit([signed])
    assert verdict.error is not None
    assert (verdict.error.name, verdict.error.arguments) == (error, reverted.value.arguments)
    assert opened.ledger.views.rejections(number)[-1][1].name == error
    assert opened.ledger.round(opened.number).accepted == before


def test_the_good_ones_of_a_batch_are_accepted_among_every_kind_of_bad(opened: Party) -> None:
    first, second, third = opened.hospitals
    batch = [
        opened.signed(first, base=b"B" * 32),
        opened.signed(first),
        opened.signed(first),
        opened.signed(second, key=third),
        opened.signed(opened.outsider),
        opened.signed(second),
        replace(opened.signed(third), signature=b"\xff" * 65),
        opened.signed(third, federation=b"O" * 32),
        opened.signed(third),
    ]
    names = [v.error.name if v.error else None for v in opened.ledger.submit(batch)]
    assert names == [
        "WrongBase",
        None,
        "AlreadySubmitted",
        "BadSignature",
        "NotParticipant",
        None,
        "BadSignature",
        "WrongFederation",
        None,
    ]
    assert sorted(opened.ledger.round(1).accepted) == sorted(opened.addresses)


def test_a_rejected_update_does_not_use_up_the_hospitals_place(opened: Party) -> None:
    hospital = opened.hospitals[0]
    opened.ledger.submit(
        [opened.signed(hospital, key=opened.hospitals[1]), opened.signed(hospital, samples=101)]
    )
    (verdict,) = opened.ledger.submit([opened.signed(hospital)])
    assert verdict.accepted


def test_what_is_accepted_is_what_was_signed(opened: Party) -> None:
    signed = opened.signed(opened.hospitals[1], samples=50, size=2**63, root=b"\1" * 32)
    opened.ledger.submit([signed])
    held = opened.ledger.round(1).accepted[opened.addresses[1]]
    assert (held.root, held.samples, held.size, held.metrics) == (b"\1" * 32, 50, 2**63, b"M" * 32)


def test_an_update_at_the_deadline_itself_is_in_time(party: Party) -> None:
    view = party.open(seconds=5_000)
    signed = party.signed(party.hospitals[0])
    now = party.chain.w3.eth.get_block("latest")["timestamp"]
    party.travel(view.deadline - now)  # the next block is the submission's
    party.ledger.submit_direct(signed)
    assert party.chain.w3.eth.get_block("latest")["timestamp"] == view.deadline


def test_the_same_root_in_a_second_attempt_counts_once_and_as_signed_there(opened: Party) -> None:
    hospital = opened.hospitals[0]
    opened.ledger.submit([opened.signed(hospital, root=b"S" * 32, samples=1)])
    opened.ledger.abort(1, "quorum")
    view = opened.open()
    assert view.attempt == 2
    assert opened.ledger.round(1).accepted == {}
    opened.ledger.submit([opened.signed(hospital, root=b"S" * 32, samples=2)])
    assert opened.ledger.round(1).accepted[hospital.address].samples == 2


def test_anyone_may_relay_but_not_change(opened: Party) -> None:
    relay = account(55)
    opened.chain.fund(relay.address)
    by_relay = type(opened.ledger).attach(opened.chain.w3, opened.ledger.address, relay)
    by_relay.submit_direct(opened.signed(opened.hospitals[0]))
    assert list(opened.ledger.round(1).accepted) == [opened.addresses[0]]


def test_nobody_is_the_zero_address(party: Party) -> None:
    """A malformed signature recovers to zero, which must not pass for the zero address having signed."""
    from contract_party import ENVELOPE_KEY, registration

    zero = replace(registration(account(2)), member="0x" + "00" * 20)
    with pytest.raises(ContractRejectedError, match="BadSignature"):
        party.ledger.register(zero, ENVELOPE_KEY, b"")


def test_a_submission_starts_from_the_open_rounds_base_also_when_it_is_the_genesis(opened: Party) -> None:
    assert opened.ledger.round(1).base == GENESIS == opened.ledger.views.model_digest
    signed = opened.submission(opened.hospitals[0])
    assert signed.base == GENESIS
    good = SignedSubmission(signed, sign(opened.hospitals[0], signed, opened.ledger.domain))
    assert opened.ledger.submit([good])[0].accepted


def test_a_deadline_passes_though_no_block_is_made(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    party.open(seconds=60)
    hour = party.ledger.round(1).deadline + 3600.0
    monkeypatch.setattr("fedcxr.chain.embedded.evm.time.time", lambda: hour)
    with pytest.raises(ContractRejectedError, match="DeadlinePassed"):
        party.ledger.submit_direct(party.signed(party.hospitals[0]))
    party.ledger.abort(1, "late")
    assert party.open(seconds=60).deadline >= hour + 60
