"""The ledger that keeps no record says what the contract says."""

from dataclasses import replace

import pytest
from contract_party import FEDERATION, GENESIS, LocalChain, Party, account, registration
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcxr.errors import ContractRejectedError, LedgerError
from fedcxr.ledger.signing import SignedSubmission, Submission, sign
from fedcxr.ledger.unrecorded import UnrecordedLedger

SIGNERS = [account(10), account(11), account(12), account(9), account(777)]
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "federation": st.just(b"O" * 32),
        "round": st.integers(0, 3),
        "attempt": st.integers(0, 3),
        "base": st.just(b"B" * 32),
        "root": st.sampled_from([bytes(32), b"1" * 32]),
        "samples": st.sampled_from([0, 1, 7, 8, 50, 51, 100, 101]),
        "size": st.sampled_from([0, 1]),
    },
)
ATTEMPTS = st.lists(st.tuples(st.integers(0, len(SIGNERS) - 1), CHANGES), max_size=6)
STEPS = st.lists(st.tuples(ATTEMPTS, st.sampled_from(["go on", "abort", "finalize"])), min_size=1, max_size=5)


def beside(party: Party) -> UnrecordedLedger:
    """The same federation, unrecorded."""
    ledger = UnrecordedLedger(federation=FEDERATION, genesis_digest=GENESIS, weighting="samples")
    for view in party.ledger.members():
        ledger.register(replace(registration(account(10), view.samples), member=view.address), b"", b"")
    return ledger


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_verdicts_are_the_contracts_on_any_sequence(
    chain: LocalChain, steps: list[tuple[list[tuple[int, dict[str, object]]], str]]
) -> None:
    party = Party.found(chain)
    ledger = beside(party)
    number, base, is_open = 1, GENESIS, False
    for attempts, then in steps:
        if not is_open:
            expected = party.open()
            found = ledger.open_round(
                number,
                base=base,
                config_digest=b"R" * 32,
                participants=party.addresses,
                deadline_seconds=1,
            )
            assert (found.weights, found.attempt) == (expected.weights, expected.attempt)
        batch = []
        for signer, changes in attempts:
            good = Submission(
                FEDERATION, number, 1, SIGNERS[signer].address, base, b"r" * 32, 5, 9, b"M" * 32
            )
            changed = replace(good, **{"attempt": ledger.round(number).attempt, **changes})  # type: ignore[arg-type]
            batch.append(SignedSubmission(changed, sign(SIGNERS[signer], changed, party.ledger.domain)))
        verdicts = party.ledger.submit(batch), ledger.submit(batch)
        names = [[v.error.name if v.error else None for v in side] for side in verdicts]
        assert names[0] == names[1]
        accepted = ledger.round(number).accepted
        assert accepted == party.ledger.round(number).accepted
        is_open = then == "go on" or (then == "finalize" and not accepted)
        if then == "abort":
            party.ledger.abort(number, "")
            ledger.abort(number, "")
        elif not is_open:
            party.close()
            ledger.close(number, b"")
            assert ledger.round(number).counted == party.ledger.round(number).counted
            party.finalize()
            base = party.ledger.views.model_digest
            ledger.finalize(number, aggregate_root=b"A" * 32, model_digest=base, excluded={})
            assert ledger.round(number).included == party.ledger.round(number).included
            number += 1
        assert ledger.last_finalized == party.ledger.last_finalized
        assert ledger.round_in_progress == party.ledger.round_in_progress


def test_guards_of_opening_and_registering_are_the_contracts(party: Party) -> None:
    ledger = beside(party)

    def opening(number: int, base: bytes) -> str:
        with pytest.raises(ContractRejectedError) as raised:
            ledger.open_round(
                number,
                base=base,
                config_digest=b"R" * 32,
                participants=party.addresses,
                deadline_seconds=1,
            )
        return raised.value.name

    assert opening(2, GENESIS) == "WrongRound"
    assert opening(1, b"B" * 32) == "WrongBase"
    with pytest.raises(ContractRejectedError, match="AlreadyRegistered"):
        ledger.register(registration(account(10)), b"", b"")
    with pytest.raises(LedgerError, match="never opened"):
        ledger.round(1)
    assert ledger.submit([party_submission()])[0].error is not None


def party_submission() -> SignedSubmission:
    return SignedSubmission(
        Submission(FEDERATION, 0, 0, account(10).address, GENESIS, b"r" * 32, 5, 9, b"M" * 32), b""
    )
