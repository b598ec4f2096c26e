"""What Python signs is what the contract hashes, and nothing else."""

from dataclasses import fields, replace

import pytest
from contract_party import FEDERATION, Party, account, registration
from eth_account.messages import encode_typed_data
from eth_utils.address import to_checksum_address
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcxr.errors import ContractRejectedError, LedgerError
from fedcxr.ledger.signing import (
    NAME,
    VERSION,
    Approval,
    Attestation,
    ChallengeResponse,
    Departure,
    Domain,
    Refusal,
    Registration,
    Rotation,
    SignedSubmission,
    Struct,
    Submission,
    as_tuple,
    commitment,
    recover,
    sign,
)

KINDS = (Registration, Rotation, Departure, Approval, Submission, Refusal, Attestation, ChallengeResponse)
DOMAIN = Domain(1337, "0x" + "42" * 20)
WORD = st.binary(min_size=32, max_size=32)
UINT64 = st.integers(0, 2**64 - 1)
SUBMISSIONS = st.builds(
    Submission,
    federation=WORD,
    round=UINT64,
    attempt=UINT64,
    hospital=st.just(account(10).address),
    base=WORD,
    root=WORD,
    samples=UINT64,
    size=UINT64,
    metrics=WORD,
)


@settings(deadline=None, max_examples=20)
@given(SUBMISSIONS)
def test_the_signer_is_recovered(submission: Submission) -> None:
    signature = sign(account(10), submission, DOMAIN)
    assert len(signature) == 65
    assert recover(submission, signature, DOMAIN) == account(10).address


ADDRESS = st.binary(min_size=20, max_size=20).map(to_checksum_address)
VALUES = {
    "bytes32": WORD,
    "address": ADDRESS,
    "uint8": st.integers(0, 2**8 - 1),
    "uint64": UINT64,
    "int16": st.integers(-(2**15), 2**15 - 1),
    "bool": st.booleans(),
}
STRUCTS = st.one_of(
    [st.builds(kind, *(VALUES[solidity] for solidity in kind.types.values())) for kind in KINDS]
)


@settings(deadline=None, max_examples=60)
@given(STRUCTS, st.builds(Domain, UINT64, ADDRESS))
def test_it_is_signed_as_eth_account_does(struct: Struct, domain: Domain) -> None:
    """The reference knows every type of EIP-712."""
    names = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
    kind = struct.type_name()
    whole = {
        "types": {
            "EIP712Domain": [{"name": name, "type": solidity} for name, solidity in names.items()],
            kind: [{"name": name, "type": solidity} for name, solidity in struct.types.items()],
        },
        "primaryType": kind,
        "domain": dict(zip(names, (NAME, VERSION, domain.chain_id, domain.contract), strict=True)),
        "message": dict(zip(struct.types, as_tuple(struct), strict=True)),
    }
    message = encode_typed_data(full_message=whole)
    signature = bytes(account(10).sign_message(message).signature)
    assert sign(account(10), struct, domain) == signature
    assert commitment(struct) == bytes(message.body)
    assert recover(struct, signature, domain) == account(10).address


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(root=WORD.filter(any), metrics=WORD, samples=st.integers(1, 100), size=st.integers(1, 2**64 - 1))
def test_the_contract_recovers_the_same_signer(
    opened: Party, root: bytes, metrics: bytes, samples: int, size: int
) -> None:
    signed = opened.signed(opened.hospitals[0], root=root, metrics=metrics, samples=samples, size=size)
    (verdict,) = opened.ledger.submit([signed])
    assert verdict.error is None or verdict.error.name == "AlreadySubmitted"
    opened.ledger.abort(1, "next example")
    opened.open()


def test_the_contract_names_the_address_that_python_recovers_from_a_forgery(opened: Party) -> None:
    signed = opened.signed(opened.hospitals[0], key=account(500))
    with pytest.raises(ContractRejectedError) as raised:
        opened.ledger.submit_direct(signed)
    recovered = recover(signed.message, signed.signature, opened.ledger.domain)
    assert recovered == account(500).address
    assert [str(a).lower() for a in raised.value.arguments] == [
        opened.addresses[0].lower(),
        recovered.lower(),
    ]


@pytest.mark.parametrize("field", [field.name for field in fields(Submission)])
def test_every_field_of_a_submission_is_signed(opened: Party, field: str) -> None:
    signed = opened.signed(opened.hospitals[0])
    value = getattr(signed.message, field)
    other = (
        account(3).address if isinstance(value, str) else value + 1 if isinstance(value, int) else b"o" * 32
    )
    changed = replace(signed.message, **{field: other})
    assert recover(changed, signed.signature, opened.ledger.domain) != opened.addresses[0]
    assert not opened.ledger.submit([SignedSubmission(changed, signed.signature)])[0].accepted


@pytest.mark.parametrize("domain", [Domain(1338, DOMAIN.contract), Domain(1337, "0x" + "43" * 20)])
def test_a_signature_holds_for_one_domain(domain: Domain) -> None:
    request = registration(account(10))
    assert recover(request, sign(account(10), request, DOMAIN), domain) != account(10).address


def test_kinds_of_message_do_not_pass_for_each_other() -> None:
    refusal = Refusal(FEDERATION, 1, account(10).address, b"S" * 32)
    assert (
        recover(registration(account(10)), sign(account(10), refusal, DOMAIN), DOMAIN) != account(10).address
    )


@pytest.mark.parametrize("signature", [b"", b"\1" * 64, b"\0" * 65, b"\xff" * 65])
def test_what_is_no_signature_is_an_error(signature: bytes) -> None:
    with pytest.raises(LedgerError, match="not a signature"):
        recover(registration(account(10)), signature, DOMAIN)
