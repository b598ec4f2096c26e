"""What the contract lets the coordinator do, and when."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from contract_party import ENVELOPE_KEY, FEDERATION, GENESIS, Party, account, registration

from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.errors import ChainError, ContractRejectedError, LedgerError
from fedcxr.ledger.artifact import load_artifact
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.court import result_of
from fedcxr.ledger.signing import Refusal, commitment, sign

# What a contract decides it decides on any chain; contracts/test holds its rules on a third.
pytestmark = pytest.mark.parametrize("chain", ["embedded"], indirect=True, scope="module")


def rejected(call: Callable[[], object]) -> str:
    """The name of the custom error that a call meets."""
    with pytest.raises(ContractRejectedError) as raised:
        call()
    return raised.value.name


def open_with(p: Party, **changes: object) -> None:
    arguments: dict[str, object] = {
        "number": 1,
        "base": GENESIS,
        "config_digest": b"R" * 32,
        "participants": p.addresses,
        "deadline_seconds": 1000,
    }
    p.ledger.open_round(**{**arguments, **changes})  # type: ignore[arg-type]


def as_stranger(p: Party) -> FederationLedger:
    p.chain.fund(account(66).address)
    return FederationLedger.attach(p.chain.w3, p.ledger.address, account(66))


# ---------------------------------------------------------------------------------------------- register


def test_a_registration_is_held_as_it_was_signed(party: Party) -> None:
    views = party.ledger.members()
    assert [v.address for v in views] == [*party.addresses, party.outsider.address]
    assert [v.samples for v in views] == [100, 50, 7, 5]
    assert {v.envelope_key_digest for v in views} == {hashlib.sha256(ENVELOPE_KEY).digest()}


def test_registering_needs_the_hospitals_own_signature(party: Party) -> None:
    request = registration(account(70))
    signature = sign(account(71), request, party.ledger.domain)
    assert rejected(lambda: party.ledger.register(request, ENVELOPE_KEY, signature)) == "BadSignature"


def test_registering_needs_the_key_that_was_signed(party: Party) -> None:
    request = registration(account(70))
    signature = sign(account(70), request, party.ledger.domain)
    assert rejected(lambda: party.ledger.register(request, b"another key", signature)) == "WrongKey"


def test_registering_twice_is_rejected(party: Party) -> None:
    assert rejected(lambda: party.register(party.hospitals[0], 1000)) == "AlreadyRegistered"


def test_registering_without_samples_is_rejected(party: Party) -> None:
    assert rejected(lambda: party.register(account(70), 0)) == "NoSamples"


def test_registering_for_another_federation_is_rejected(party: Party) -> None:
    request = replace(registration(account(70)), federation=b"O" * 32)
    signature = sign(account(70), request, party.ledger.domain)
    assert rejected(lambda: party.ledger.register(request, ENVELOPE_KEY, signature)) == "WrongFederation"


def test_only_the_coordinator_registers(party: Party) -> None:
    request = registration(account(70))
    signature = sign(account(70), request, party.ledger.domain)
    stranger = as_stranger(party)
    assert rejected(lambda: stranger.register(request, ENVELOPE_KEY, signature)) == "NotCoordinator"


# -------------------------------------------------------------------------------------------------- open


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"number": 2}, "WrongRound"),
        ({"number": 0}, "WrongRound"),
        ({"base": b"B" * 32}, "WrongBase"),
        ({"participants": []}, "NoParticipants"),
        ({"participants": [account(10).address, account(777).address]}, "NotRegistered"),
        ({"deadline_seconds": 0}, "DeadlineInPast"),
        ({"deadline_seconds": -100}, "DeadlineInPast"),
    ],
)
def test_opening_is_rejected_by_name(party: Party, changes: dict[str, object], error: str) -> None:
    assert rejected(lambda: open_with(party, **changes)) == error
    assert party.ledger.round_in_progress == 0


def test_a_seat_that_nobody_has_is_rejected(party: Party) -> None:
    arguments = (1, GENESIS, b"R" * 32, 1 << 255, 2**40)
    assert (
        rejected(lambda: party.ledger._transactor.transact("open", "openRound", arguments, gas=10**6))
        == "UnknownSeats"
    )


def test_a_round_with_fewer_participants_than_it_needs_updates_is_not_opened(chain: EmbeddedChain) -> None:
    party = Party.found(chain, min_updates=3)
    assert rejected(lambda: open_with(party, participants=party.addresses[:2])) == "QuorumMissing"


def test_one_round_is_open_at_a_time(opened: Party) -> None:
    assert rejected(lambda: open_with(opened)) == "WrongPhase"
    assert rejected(lambda: open_with(opened, number=2)) == "WrongPhase"


def test_only_the_coordinator_opens_finalizes_and_aborts(opened: Party) -> None:
    stranger = as_stranger(opened)
    opened.ledger.submit([opened.signed(opened.hospitals[0])])
    assert rejected(lambda: stranger.abort(1, "because")) == "NotCoordinator"
    by_stranger = replace(opened, ledger=stranger)
    assert rejected(by_stranger.close) == "StillOpen"
    opened.close()
    assert rejected(by_stranger.finalize) == "NotCoordinator"
    opened.ledger.abort(1, "because")
    assert rejected(by_stranger.open) == "NotCoordinator"


def test_a_round_is_held_as_it_was_opened(party: Party) -> None:
    view = party.open(seconds=500)
    assert (view.number, view.attempt, view.status, view.base) == (1, 1, "open", GENESIS)
    assert list(view.participants) == party.addresses
    assert view.config_digest == b"R" * 32
    assert view.accepted == {}
    assert view == party.ledger.round(1)
    assert party.ledger.round_in_progress == 1


def test_a_round_that_never_was_is_an_error(party: Party) -> None:
    with pytest.raises(LedgerError, match="never opened"):
        party.ledger.round(1)


# ---------------------------------------------------------------------------------------------- finalize


@pytest.fixture
def submitted(opened: Party) -> Party:
    """With updates of the first two hospitals accepted."""
    opened.ledger.submit([opened.signed(hospital) for hospital in opened.hospitals[:2]])
    return opened


@pytest.fixture
def closed(submitted: Party) -> Party:
    submitted.close()
    return submitted


def finalize_raw(p: Party, excluded: list[str], reasons: list[str], number: int = 1) -> None:
    """Past the client, which pairs them."""
    arguments = (number, b"A" * 32, b"N" * 32, excluded, reasons)
    p.ledger._transactor.transact("finalize", "finalizeRound", arguments, gas=1_000_000)


def test_a_closed_round_takes_no_more_updates(closed: Party) -> None:
    (verdict,) = closed.ledger.submit([closed.signed(closed.hospitals[2])])
    assert verdict.error is not None
    assert verdict.error.name == "WrongPhase"
    view = closed.ledger.round(1)
    assert view.status == "validated"  # nobody judges here
    assert view.counted == tuple(closed.addresses[:2])


def test_closing_needs_enough_updates(chain: EmbeddedChain) -> None:
    party = Party.found(chain, min_updates=2)
    party.open()
    party.ledger.submit([party.signed(party.hospitals[0])])
    assert rejected(party.close) == "QuorumMissing"
    party.ledger.submit([party.signed(party.hospitals[1])])
    party.close()
    assert party.ledger.round(1).status == "validated"


def test_anyone_closes_a_round_whose_updates_are_all_in_or_whose_time_is_over(opened: Party) -> None:
    by_stranger = replace(opened, ledger=as_stranger(opened))
    opened.ledger.submit([opened.signed(hospital) for hospital in opened.hospitals[:2]])
    assert rejected(by_stranger.close) == "StillOpen"
    opened.ledger.submit([opened.signed(opened.hospitals[2])])
    by_stranger.close()
    opened.finalize()
    opened.open(seconds=1000)
    opened.ledger.submit([opened.signed(opened.hospitals[0])])
    opened.travel(2000)
    by_stranger.close()
    assert opened.ledger.round(2).status == "validated"


def test_anyone_aborts_a_round_that_cannot_get_its_updates_any_more(chain: EmbeddedChain) -> None:
    party = Party.found(chain, min_updates=2)
    party.open(seconds=1000)
    party.ledger.submit([party.signed(party.hospitals[0])])
    stranger = as_stranger(party)
    assert rejected(lambda: stranger.abort(1, "too few")) == "NotCoordinator"
    party.travel(2000)
    stranger.abort(1, "too few")
    assert party.ledger.round(1).status == "aborted"
    assert party.open().attempt == 2


def test_nobody_else_aborts_a_round_with_enough_updates(submitted: Party) -> None:
    submitted.travel(20_000)
    assert rejected(lambda: as_stranger(submitted).abort(1, "because")) == "NotCoordinator"


def test_a_finalized_round_names_its_result_and_whom_it_leaves_out(closed: Party) -> None:
    a, b, _ = closed.addresses
    closed.finalize({a: "cannot be opened – ß"})
    view = closed.ledger.round(1)
    assert (view.status, view.included, view.excluded) == ("finalized", (b,), {a: "cannot be opened – ß"})
    assert view.model_digest == closed.ledger.views.model_digest == hashlib.sha256(b"model\1").digest()
    assert view.aggregate_root == hashlib.sha256(b"sum\1").digest()
    assert (closed.ledger.last_finalized, closed.ledger.round_in_progress) == (1, 0)


def test_the_contract_keeps_what_the_events_of_a_finalized_round_say(closed: Party) -> None:
    closed.finalize({closed.addresses[0]: "cannot be opened"})
    result = result_of(closed.ledger.views, 1)  # raises where the hash is another
    assert result.hash == closed.ledger.views.result_hash(1)
    assert result.included == 2
    assert replace(result, aggregate_root=b"B" * 32).hash != closed.ledger.views.result_hash(1)


def test_the_contract_keeps_a_commitment_to_every_field_of_an_accepted_update(opened: Party) -> None:
    signed = opened.signed(opened.hospitals[1])
    opened.ledger.submit([signed])
    assert opened.ledger.views.commitment(1, 1, 1) == commitment(signed.message)
    assert opened.ledger.views.commitment(1, 1, 0) == bytes(32)
    again = opened.ledger.views.round_events(1).submission(FEDERATION, opened.addresses[1])
    assert again == signed.message


def test_finalizing_is_rejected_by_name(closed: Party) -> None:
    a, b, c = closed.addresses
    for excluded, reasons, error in [
        ([a, b], ["", ""], "QuorumMissing"),
        ([c], [""], "NotAccepted"),
        ([a, a], ["", ""], "NotAccepted"),
        ([closed.outsider.address], [""], "NotAccepted"),
        ([account(777).address], [""], "NotRegistered"),
        ([a], [], "LengthMismatch"),
        ([], [""], "LengthMismatch"),
    ]:
        found = rejected(lambda e=excluded, r=reasons: finalize_raw(closed, e, r))
        assert found == error, excluded
    assert closed.ledger.round(1).status == "validated"


def test_a_round_without_a_model_is_not_finalized(closed: Party) -> None:
    arguments = (1, b"A" * 32, bytes(32), [], [])
    ledger = closed.ledger
    assert (
        rejected(lambda: ledger._transactor.transact("finalize", "finalizeRound", arguments, gas=10**6))
        == "NoModel"
    )


def test_only_the_validated_round_is_finalized_and_only_once(submitted: Party) -> None:
    assert rejected(lambda: finalize_raw(submitted, [], [])) == "WrongPhase"
    submitted.close()
    assert rejected(lambda: finalize_raw(submitted, [], [], number=2)) == "WrongPhase"
    assert rejected(lambda: finalize_raw(submitted, [], [], number=0)) == "WrongPhase"
    finalize_raw(submitted, [], [])
    assert rejected(lambda: finalize_raw(submitted, [], [])) == "WrongPhase"


def test_the_next_round_starts_from_the_finalized_model(party: Party) -> None:
    party.whole_round()
    assert rejected(lambda: open_with(party, number=2)) == "WrongBase"
    assert rejected(lambda: open_with(party, number=1)) == "WrongRound"
    assert party.open().base == hashlib.sha256(b"model\1").digest()


def test_long_reasons_fit_the_gas(closed: Party) -> None:
    _, b, _ = closed.addresses
    closed.finalize({b: "ü" * 5_000})
    assert closed.ledger.round(1).excluded == {b: "ü" * 5_000}


# ------------------------------------------------------------------------------------- abort and refuse


def test_an_aborted_round_is_opened_again_as_its_next_attempt(submitted: Party) -> None:
    submitted.ledger.abort(1, "ü" * 5_000)
    assert submitted.ledger.round(1).status == "aborted"
    assert (submitted.ledger.last_finalized, submitted.ledger.round_in_progress) == (0, 0)
    view = submitted.open()
    assert (view.number, view.attempt, view.accepted) == (1, 2, {})
    assert rejected(submitted.close) == "QuorumMissing"  # what the attempt before had accepted counts no more


def test_only_the_open_round_is_aborted(opened: Party) -> None:
    assert rejected(lambda: opened.ledger.abort(2, "")) == "WrongPhase"
    opened.ledger.abort(1, "")
    assert rejected(lambda: opened.ledger.abort(1, "")) == "WrongPhase"


def test_a_refusal_is_on_record_under_the_hospitals_signature_only(opened: Party) -> None:
    hospital = opened.hospitals[0]
    refusal = Refusal(FEDERATION, 1, hospital.address, b"S" * 32)
    forged = sign(opened.coordinator, refusal, opened.ledger.domain)
    assert rejected(lambda: opened.ledger.refuse(refusal, forged)) == "BadSignature"
    opened.ledger.refuse(refusal, sign(hospital, refusal, opened.ledger.domain))
    assert opened.ledger.views.refusals(1) == {hospital.address: [b"S" * 32]}
    assert opened.ledger.views.refusals(2) == {}
    stranger = replace(refusal, hospital=account(777).address)
    signature = sign(account(777), stranger, opened.ledger.domain)
    assert rejected(lambda: opened.ledger.refuse(stranger, signature)) == "NotActive"
    elsewhere = replace(refusal, federation=b"O" * 32)
    signature = sign(hospital, elsewhere, opened.ledger.domain)
    assert rejected(lambda: opened.ledger.refuse(elsewhere, signature)) == "WrongFederation"


# ------------------------------------------------------------------------------------------- the client


def test_the_code_is_the_artifacts_and_other_code_is_named(party: Party) -> None:
    assert party.ledger.views.code_difference() is None
    w3 = party.chain.w3
    code = bytearray(w3.eth.get_code(party.ledger.address))
    constructed = {at for start, length in load_artifact().immutables for at in range(start, start + length)}
    at = next(i for i in range(5000, len(code)) if i not in constructed)
    code[at] ^= 1
    for other, difference in [
        (bytes(code), f"from byte {at} on"),
        (bytes(code[:-1]), f"{len(code) - 1} bytes instead"),
    ]:
        # A constructor that returns the bytes that follow it.
        n = len(other)
        init = bytes.fromhex(f"62{n:06x}80600d6000396000f3") + other
        address = party.create(init)["contractAddress"]
        found = FederationLedger.attach(w3, str(address)).views.code_difference()
        assert found is not None
        assert difference in found


@pytest.mark.parametrize(
    ("with_event", "difference"), [(False, "no record of its creation"), (True, "created by other code")]
)
def test_the_artifacts_code_over_storage_of_anothers_making_is_named(
    party: Party, with_event: bool, difference: str
) -> None:
    w3 = party.chain.w3
    code = bytes(w3.eth.get_code(party.ledger.address))
    slot = next(i for i in range(256) if bytes(w3.eth.get_storage_at(party.ledger.address, i)) == GENESIS)
    # It writes a model digest of its own choice, and returns the very code of a founded contract.
    init = b"\x7f" + b"X" * 32 + bytes([0x60, slot, 0x55])
    data = b""
    if with_event:  # the event of that contract's creation, word for word
        (event,) = party.ledger.views.events("FederationCreated")
        logs = w3.eth.get_transaction_receipt(event["transactionHash"])["logs"]
        (log,) = (one for one in logs if one["logIndex"] == event["logIndex"])
        topics, data = log["topics"], bytes(log["data"])
        at = len(init) + 12 + 33 * len(topics) + 5 + 16
        init += bytes.fromhex(f"62{len(data):06x}62{at:06x}600039").ljust(12, b"\x5b")
        init += b"".join(b"\x7f" + bytes(topic) for topic in reversed(topics))
        init += bytes.fromhex(f"61{len(data):04x}5f") + bytes([0xA0 + len(topics)])
        init = init.ljust(at - 16, b"\x5b")
    start = len(init) + 16 + len(data)
    init += bytes.fromhex(f"62{len(code):06x}8062{start:06x}6000396000f3").ljust(16, b"\x5b") + data + code
    receipt = party.create(init)
    forged = FederationLedger.attach(w3, str(receipt["contractAddress"]))
    assert bytes(w3.eth.get_code(forged.address)) == code
    assert len(receipt["logs"]) == with_event
    assert forged.views.model_digest == b"X" * 32
    assert forged.genesis_digest == GENESIS
    assert difference in str(forged.views.code_difference())


def test_attaching_to_no_contract_is_an_error(party: Party) -> None:
    for address in (account(1).address, "0x123", "nonsense"):
        with pytest.raises(LedgerError, match="no contract"):
            FederationLedger.attach(party.chain.w3, address)


def test_a_reader_without_an_account_cannot_write(opened: Party) -> None:
    reader = FederationLedger.attach(opened.chain.w3, opened.ledger.address)
    assert reader.round(1) == opened.ledger.round(1)
    with pytest.raises(LedgerError, match="no account"):
        reader.abort(1, "")


def test_an_account_without_ether_meets_a_chain_error(opened: Party) -> None:
    poor = FederationLedger.attach(opened.chain.w3, opened.ledger.address, account(4242))
    with pytest.raises(ChainError, match="the chain says"):
        poor.submit_direct(opened.signed(opened.hospitals[0]))
    opened.ledger.submit_direct(opened.signed(opened.hospitals[0]))


def test_too_little_gas_is_a_chain_error(opened: Party) -> None:
    with pytest.raises(ChainError):
        opened.ledger._transactor.transact("abort", "abortRound", (1, "x"), gas=25_000)
    assert opened.ledger.round(1).status == "open"
