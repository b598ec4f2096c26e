"""The Python function of what the contract accepts says what the contract says, reason by reason."""

from dataclasses import astuple

import pytest
from contract_party import LocalChain, Party, account
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.court import DisputeCourt, result_of
from fedcxr.ledger.signing import SignedSubmission, as_tuple
from fedcxr.ledger.submissions import tree as submission_tree
from fedcxr.ledger.transaction import translated

SIZE = 8192
IN_ALREADY, ABSENT, SUSPENDED, ROTATED = range(4)  # of the hospitals
SUCCESSOR, STRANGER = account(12345), account(777)
GOOD = {"size": SIZE, "samples": 5}
FLAWS: list[dict[str, object]] = [
    {"federation": b"O" * 32},
    {"round": 0},
    {"round": 2},
    {"attempt": 2},
    {"base": b"B" * 32},
    {"root": bytes(32)},
    {"samples": 0},
    {"samples": 51},
    {"size": 0},
    {"size": SIZE - 1},
]
REASONS = {
    "WrongFederation",
    "WrongPhase",
    "WrongAttempt",
    "NotActive",
    "NotParticipant",
    "WrongBase",
    "NoSamples",
    "TooManySamples",
    "EmptyUpdate",
    "WrongSize",
    "AlreadySubmitted",
    "BadSignature",
}


def opened(chain: LocalChain, **rules: object) -> Party:
    """A round in which one hospital is in, one may come, one was suspended and one has a new key."""
    party = Party.found(chain, [50] * 4, update_size=SIZE, **rules)
    party.open()
    party.ledger.submit_direct(party.signed(party.hospitals[IN_ALREADY], **GOOD))
    party.ledger.membership.suspend(party.addresses[SUSPENDED])
    party.rotate(party.hospitals[ROTATED], SUCCESSOR)
    return party


def foreseen(party: Party, signed: SignedSubmission) -> tuple[str, tuple[object, ...]] | None:
    """What the function says of a submission to the latest round."""
    views, hospital = party.ledger.views, signed.message.hospital
    samples = {m.address: m.samples for m in views.members() if m.is_active_hospital}
    error = views.acceptance.objection(signed, views.round(1), samples.get(hospital, 0))
    return plain(error) if error else None


def said(party: Party, signed: SignedSubmission) -> tuple[str, tuple[object, ...]] | None:
    """What the contract says of it; it is asked, and takes nothing."""
    try:
        party.ledger.views.ask("submitUpdate", as_tuple(signed.message), signed.signature)
    except ContractRejectedError as error:
        return plain(error)
    return None


def plain(error: ContractRejectedError) -> tuple[str, tuple[object, ...]]:
    """A reason and its arguments; addresses without the case that is their checksum."""
    return error.name, tuple(each.lower() if isinstance(each, str) else each for each in error.arguments)


@pytest.mark.parametrize("open_updates", [False, True])
def test_reasons_and_their_arguments_are_the_contracts(chain: LocalChain, open_updates: bool) -> None:
    party = opened(chain, open_updates=open_updates)
    signers = [*party.hospitals, party.outsider, SUCCESSOR, STRANGER]
    domains = [None, party.coordinator]
    heard = set()

    @settings(deadline=None, max_examples=40)
    @given(st.sampled_from(signers), st.lists(st.sampled_from(FLAWS), max_size=3), st.sampled_from(domains))
    def check(signer: object, flaws: list[dict[str, object]], key: object) -> None:
        changes: dict[str, object] = {"attempt": 1, **GOOD}
        for flaw in flaws:
            changes |= flaw
        signed = party.signed(signer, key=key, **changes)  # type: ignore[arg-type]
        expected = said(party, signed)
        assert foreseen(party, signed) == expected
        heard.add(expected)

    check()
    # What chance may have left out: each flaw alone, of whoever could come, and each signer without a flaw.
    absent = party.hospitals[ABSENT]
    singles = [party.signed(absent, **{"attempt": 1, **GOOD, **flaw}) for flaw in FLAWS]
    singles += [party.signed(signer, attempt=1, **GOOD) for signer in signers]
    singles += [party.signed(absent, key=party.coordinator, attempt=1, **GOOD)]
    singles += [SignedSubmission(singles[-2].message, b"no signature")]
    for signed in singles:
        expected = said(party, signed)
        assert foreseen(party, signed) == expected
        heard.add(expected)
    names = {each[0] if each else None for each in heard}
    assert names == REASONS - (set() if open_updates else {"WrongSize"}) | {None}


@pytest.mark.parametrize("then", ["close", "finalize", "abort"])
def test_a_round_that_is_open_no_more_takes_nothing(party: Party, then: str) -> None:
    party.open()
    late = party.signed(party.hospitals[1])
    party.ledger.submit([party.signed(party.hospitals[0])])
    if then == "abort":
        party.ledger.abort(1, "given up")
    else:
        party.close()
    if then == "finalize":
        party.finalize()
    expected = said(party, late)
    assert expected is not None
    assert expected[0] == "WrongPhase"
    assert foreseen(party, late) == expected


@pytest.mark.parametrize("open_updates", [False, True])
def test_what_is_wrong_under_a_root_is_what_the_court_finds(chain: LocalChain, open_updates: bool) -> None:
    count = len(FLAWS) + 3
    party = Party.found(chain, [50] * count, update_size=SIZE, open_updates=open_updates, recording="root")
    party.open()
    *flawed, forged, suspended, rotated = party.hospitals
    submissions = [
        *(party.signed(h, **{**GOOD, **flaw}) for h, flaw in zip(flawed, FLAWS, strict=True)),
        party.signed(forged, key=party.coordinator, **GOOD),
        party.signed(suspended, **GOOD),
        party.signed(rotated, **GOOD),
    ]
    leaves = {seat: submission_tree.leaf(signed) for seat, signed in enumerate(submissions)}
    arguments = (1, submission_tree.root(leaves), b"L" * 32, (1 << count) - 1)
    party.ledger._transactor.transact("close", "closeWithRoot", arguments, gas=800_000)
    party.finalize()
    party.ledger.membership.suspend(suspended.address)
    party.rotate(rotated, SUCCESSOR)
    views = party.ledger.views
    court, result = DisputeCourt(chain.w3, views.court), result_of(views, 1)

    def faulty(seat: int, signed: SignedSubmission) -> bool:
        """Whether a dispute of the seat would be upheld; the court is asked, and slashes nothing."""
        path = submission_tree.path(leaves, seat)
        asked = (astuple(result), seat, as_tuple(signed.message), signed.signature, path)
        dispute = court._contract.function("disputeSubmission")(*asked)
        try:
            translated(lambda: dispute.call({"from": party.coordinator.address}))
        except ContractRejectedError as error:
            assert error.name == "SubmissionGood"
            return False
        return True

    view, members = views.round(1), views.members()
    found = [faulty(seat, signed) for seat, signed in enumerate(submissions)]
    named = [
        views.acceptance.flaw(signed, view, members[seat].samples) is not None
        for seat, signed in enumerate(submissions)
    ]
    assert named == found
    good = [len(FLAWS) + 1, len(FLAWS) + 2] + ([] if open_updates else [len(FLAWS) - 1])
    assert [seat for seat, wrong in enumerate(found) if not wrong] == sorted(good)
