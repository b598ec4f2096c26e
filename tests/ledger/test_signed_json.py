"""What was signed, as files keep it: byte for byte as ever, and read back without trusting it."""

from __future__ import annotations

from pathlib import Path

from eth_account import Account

from clients.disk import HospitalDisk, Membership
from clients.member import Member
from fedcxr.ledger.orders import Order
from fedcxr.ledger.signing import (
    Attestation,
    Domain,
    Presence,
    Rotation,
    SignedSubmission,
    Submission,
    sign,
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
"""Files that fedcxr wrote when each of them had a codec of its own. The list lies under the contract's root."""


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
    order = Order(ROTATION, tuple(sign(account, ROTATION, DOMAIN) for account in (ALICE, BOB)), b"key")
    order.write(tmp_path / "order.json")
    assert (tmp_path / "order.json").read_bytes() == (KEPT / "request.json").read_bytes()
    assert Order.read(KEPT / "request.json") == order


def test_a_journal_keeps_its_bytes(tmp_path: Path) -> None:
    membership = Membership(FEDERATION.hex(), DOMAIN.chain_id, DOMAIN.contract, "{}", "{}", "", "")
    identity = Identity(KEYS[0], EnvelopePrivateKey.generate("X25519"))
    member = Member(HospitalDisk(tmp_path), identity, membership)
    member.disk.join(member.address, membership)
    member.sign(Attestation(FEDERATION, 3, 1, ALICE.address, BOB.address, b"C" * 32, True, -5))
    member.sign(Presence(FEDERATION, ALICE.address, b"c" * 32))
    journal = tmp_path / member.address / "journal.jsonl"
    assert journal.read_bytes() == (KEPT / "journal.jsonl").read_bytes()


def test_a_proof_keeps_its_bytes() -> None:
    proof = Proof(1337, BOB.address, 3, 1, ALICE.address, 5, b"R" * 32, (b"p" * 32,) * 2, SUBMISSIONS[0])
    written = (KEPT / "proof.json").read_text()
    assert proof.to_json() == written
    assert Proof.from_json(written) == proof
