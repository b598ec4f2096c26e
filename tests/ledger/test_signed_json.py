"""What was signed, as files keep it: byte for byte as ever, and read back without trusting it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from clients.disk import HospitalDisk, Membership
from clients.member import Member
from fedcxr.errors import FederationError, LedgerError, StoreError
from fedcxr.ledger.seats import MOST
from fedcxr.ledger.signed_json import from_tree, signed_from_tree, signed_to_tree, to_tree
from fedcxr.ledger.signed_requests import SignedRequest
from fedcxr.ledger.signing import (
    LONGEST_SIGNATURE,
    Attestation,
    ChallengeResponse,
    Domain,
    Rotation,
    Signed,
    SignedSubmission,
    Submission,
    sign,
)
from fedcxr.ledger.statements import (
    Complaint,
    Contradiction,
    Head,
    heads_from_bytes,
    heads_to_bytes,
)
from fedcxr.ledger.submissions import listing
from fedcxr.ledger.submissions.proof import Proof
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.store.identity import Identity

KEYS = (b"\1" * 32, b"\2" * 32)
ALICE, BOB = (Account.from_key(key) for key in KEYS)
DOMAIN = Domain(1337, BOB.address)
FEDERATION = b"F" * 32

KEPT = Path(__file__).parent.parent / "fixtures" / "signed_json"
"""Files that fedcxr wrote when each had a codec of its own. The list lies under the contract's root."""


def submission(hospital: str, root: bytes) -> Submission:
    return Submission(FEDERATION, 3, 1, hospital, b"B" * 32, root * 32, 100, 2**40, b"M" * 32)


MESSAGES = {ALICE: submission(ALICE.address, b"r"), BOB: submission(BOB.address, b"s")}
SUBMISSIONS = [SignedSubmission(said, sign(who, said, DOMAIN)) for who, said in MESSAGES.items()]
ROTATION = Rotation(FEDERATION, ALICE.address, BOB.address, b"E" * 32)


def test_a_list_of_submissions_keeps_its_bytes() -> None:
    written = (KEPT / "list.json").read_bytes()
    assert listing.to_bytes(SUBMISSIONS[::-1]) == written
    assert listing.from_bytes(written) == SUBMISSIONS


def test_a_signed_request_keeps_its_bytes(tmp_path: Path) -> None:
    signatures = tuple(sign(account, ROTATION, DOMAIN) for account in (ALICE, BOB))
    request = SignedRequest(ROTATION, signatures, b"key")
    request.write(tmp_path / "order.json")
    assert (tmp_path / "order.json").read_bytes() == (KEPT / "request.json").read_bytes()
    assert SignedRequest.read(KEPT / "request.json") == request


def test_a_journal_keeps_its_bytes(tmp_path: Path) -> None:
    membership = Membership(FEDERATION.hex(), DOMAIN.chain_id, DOMAIN.contract, "{}", "{}", "", "")
    identity = Identity(KEYS[0], EnvelopePrivateKey.generate("X25519"))
    member = Member(HospitalDisk(tmp_path), identity, membership)
    member.disk.join(member.address, membership)
    member.sign(Attestation(FEDERATION, 3, 1, ALICE.address, BOB.address, b"C" * 32, True, -5))
    member.sign(ChallengeResponse(FEDERATION, ALICE.address, b"c" * 32))
    journal = tmp_path / member.address / "journal.jsonl"
    assert journal.read_bytes() == (KEPT / "journal.jsonl").read_bytes()


def test_what_a_hospital_states_keeps_its_bytes_and_is_read_back() -> None:
    who, zeros = ALICE.address, bytes(32)
    statements = (
        Head(FEDERATION, who, 7, b"h" * 32),
        Contradiction(FEDERATION, who, BOB.address, 7, b"h" * 32, zeros, 9, b"i" * 32),
        Complaint(FEDERATION, 3, 1, who, b"r" * 32, b"c" * 32, zeros, 4, 9, b"i" * 32),
    )
    signed = [Signed(said, sign(ALICE, said, DOMAIN)) for said in statements]
    lines = [json.dumps({"kind": one.message.kind(), **signed_to_tree(one)}) + "\n" for one in signed]
    written = (KEPT / "statements.jsonl").read_text()
    assert "".join(lines) == written
    for one, line in zip(signed, written.splitlines(), strict=True):
        tree = json.loads(line)
        del tree["kind"]
        assert signed_from_tree(type(one.message), tree) == one
    heads = heads_to_bytes([signed[0]])  # type: ignore[list-item]
    assert heads_from_bytes(heads, FEDERATION, DOMAIN) == [signed[0]]
    for federation, domain in ((b"G" * 32, DOMAIN), (FEDERATION, Domain(1, BOB.address))):
        with pytest.raises(FederationError):
            heads_from_bytes(heads, federation, domain)


def test_a_proof_keeps_its_bytes() -> None:
    proof = Proof(1337, BOB.address, 3, 1, ALICE.address, 5, b"R" * 32, (b"p" * 32,) * 2, SUBMISSIONS[0])
    written = (KEPT / "proof.json").read_text()
    assert proof.to_json() == written
    assert Proof.from_json(written) == proof


SIGNED = SUBMISSIONS[0]
ATTESTATION = Attestation(FEDERATION, 3, 1, ALICE.address, BOB.address, b"C" * 32, True, -5)
BAD: list[tuple[str, Any]] = [
    ("base", b"B" * 32),
    ("base", "42" * 31),
    ("base", "42" * 33),
    ("base", "4z" * 32),
    ("base", "AB" * 32),  # another spelling of the same bytes
    ("base", " " + "42" * 32),
    ("base", "４２" * 32),  # digits that are none of ASCII
    ("base", "42" * 10**6),
    ("base", None),
    ("base", ["42"]),
    ("hospital", ALICE.address.lower()),
    ("hospital", ALICE.address[2:]),
    ("hospital", 7),
    ("round", "3"),
    ("round", 3.0),
    ("round", True),
    ("round", -1),
    ("round", 2**64),
    ("samples", 10**4000),
    ("size", None),
    ("signature", "1c" * (LONGEST_SIGNATURE + 1)),
    ("signature", "1"),
    ("signature", 27),
]


def test_a_struct_comes_back_as_it_was() -> None:
    for struct in (SIGNED.message, ROTATION, ATTESTATION):
        assert from_tree(type(struct), json.loads(json.dumps(to_tree(struct)))) == struct
    assert signed_from_tree(Submission, json.loads(json.dumps(signed_to_tree(SIGNED)))) == SIGNED


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_value_of_another_kind_is_refused_by_its_field(field: str, value: object) -> None:
    with pytest.raises(FederationError, match=rf"^Submission\.{field}: ") as raised:
        signed_from_tree(Submission, {**signed_to_tree(SIGNED), field: value})
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("value", ["true", 1, None])
def test_a_truth_value_is_nothing_else(value: object) -> None:
    with pytest.raises(FederationError, match=r"^Attestation\.accepted: "):
        from_tree(Attestation, {**to_tree(ATTESTATION), "accepted": value})


@pytest.mark.parametrize("field", [*to_tree(SIGNED.message), "signature"])
def test_a_field_that_is_missing_is_named(field: str) -> None:
    tree = signed_to_tree(SIGNED)
    del tree[field]
    with pytest.raises(FederationError, match=rf"^Submission\.{field}: is missing"):
        signed_from_tree(Submission, tree)


def test_a_field_that_nobody_signed_is_named() -> None:
    with pytest.raises(FederationError, match=r"^Submission\.more: there is no such field"):
        signed_from_tree(Submission, {**signed_to_tree(SIGNED), "more": 1})


@pytest.mark.parametrize("tree", [None, [], "text", 3, [1]])
def test_what_is_no_object_is_refused(tree: object) -> None:
    with pytest.raises(FederationError, match="is not an object"):
        from_tree(Submission, tree)


def test_a_list_that_is_longer_than_the_seats_is_refused() -> None:
    entry = (KEPT / "list.json").read_bytes()[1:].partition(b"},")[0] + b"}"
    assert len(listing.from_bytes(b"[" + b",".join([entry] * MOST) + b"]")) == MOST
    for data in (b"[" + b",".join([entry] * (MOST + 1)) + b"]", b"{}", b"7", b"[1]", b"[" * 10**5, b"\xff"):
        with pytest.raises(FederationError):
            listing.from_bytes(data)


REQUEST = json.loads((KEPT / "request.json").read_text())


@pytest.mark.parametrize(
    ("tree", "where"),
    [
        ({**REQUEST, "kind": "submission"}, "request.kind"),
        ({**REQUEST, "kind": ["rotation"]}, "request.kind"),
        ({**REQUEST, "kind": "departure"}, "request.signatures"),
        ({**REQUEST, "signatures": REQUEST["signatures"][:1]}, "request.signatures"),
        ({**REQUEST, "signatures": ["00" * 129] * 2}, "request.signatures"),
        ({**REQUEST, "envelope_key": "00" * 2**13 + "00"}, "request.envelope_key"),
        ({**REQUEST, "envelope_key": None}, "request.envelope_key"),
        ({**REQUEST, "message": {**REQUEST["message"], "more": 1}}, "Rotation.more"),
        ({**REQUEST, "message": []}, "Rotation"),
        ({**REQUEST, "more": 1}, "request.more"),
        ({"kind": "rotation"}, "request.message"),
        (REQUEST | {"envelope_key": "00" * 2**15}, "longer than 65,536 bytes"),
        ([], "request"),
    ],
)
def test_a_request_that_is_none_is_refused_by_its_field(tmp_path: Path, tree: object, where: str) -> None:
    (tmp_path / "order.json").write_text(json.dumps(tree))
    with pytest.raises(StoreError, match=rf"order\.json: not a signed order: .*{where}"):
        SignedRequest.read(tmp_path / "order.json")


PROOF = json.loads((KEPT / "proof.json").read_text())


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"seat": "5"}, "proof.seat"),
        ({"seat": True}, "proof.seat"),
        ({"contract": 5}, "proof.contract"),
        ({"root": "52"}, "proof.root"),
        ({"path": "70"}, "proof.path"),
        ({"path": ["70" * 31]}, "proof.path"),
        ({"path": ["70" * 32] * 13}, "proof.path"),
        ({"proof": "presence"}, "proof.proof"),
        ({"proof": ["inclusion"]}, "proof.proof"),
        ({"submission": []}, "Submission"),
        ({"submission": {**PROOF["submission"], "size": -1}}, "Submission.size"),
        ({"more": 1}, "proof.more"),
    ],
)
def test_a_proof_that_is_none_is_refused_by_its_field(changed: dict[str, Any], where: str) -> None:
    with pytest.raises(LedgerError, match=f"not a proof of inclusion or omission: {where}"):
        Proof.from_json(json.dumps({**PROOF, **changed}))
