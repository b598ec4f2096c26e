"""``masked.json``: what a hospital wrote down is read back, and whatever else stands there stops it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from clients.disk import HospitalDisk
from clients.masked_record import LONGEST, MaskedRecord, RecordedAttempt, Released
from fedcxr.errors import FederationError, StoreError
from fedcxr.ledger.signed_json import signed_to_tree
from fedcxr.ledger.signing import Signed, Submission

FEDERATION = "ab" * 32
HOSPITAL = "0x" + "11" * 20
SUBMISSION = Submission(bytes(32), 3, 1, HOSPITAL, bytes(32), bytes([1] * 32), 5, 100, bytes(32))
SENT = RecordedAttempt(
    attempt=1,
    context=bytes([2] * 32),
    preimage=bytes(254 + 58 * 5),
    self_seed=bytes([3] * 32),
    sent=Signed(SUBMISSION, bytes(65)),
    metrics=b"{}",
    released=Released(0b1011, bytes([4] * 32), 17, bytes([5] * 32), bytes(34 * 4)),
)
NEXT = RecordedAttempt(2, bytes([6] * 32), bytes(300), bytes([7] * 32))
RECORD = MaskedRecord(
    FEDERATION,
    3,
    bytes([8] * 32),
    bytes([9] * 32),
    (replace(SENT, closed=True), NEXT),
    (bytes(32),),
    (HOSPITAL,),
)


@pytest.fixture
def disk(tmp_path: Path) -> HospitalDisk:
    return HospitalDisk(tmp_path)


def test_a_record_is_read_back(disk: HospitalDisk) -> None:
    assert disk.masked_record(FEDERATION) == MaskedRecord(FEDERATION)
    disk.write_masked_record(RECORD)
    assert disk.masked_record(FEDERATION) == RECORD
    assert (disk.root / "masked.json").stat().st_mode & 0o777 == 0o600


def test_the_next_attempt_closes_all_before_it_and_forgets_those_without_a_vector() -> None:
    record = replace(RECORD, attempts=(SENT, NEXT))
    begun = record.beginning(replace(NEXT, attempt=3))
    assert [(one.attempt, one.closed) for one in begun.attempts] == [(1, True), (3, False)]
    assert [entry.entry.answered for entry in begun.sent] == [bytes([4] * 32)]
    gone_on = begun.in_round(4, bytes([1] * 32), bytes(32))
    assert gone_on.attempts == ()
    assert gone_on.bases == (bytes(32), bytes([8] * 32))  # a vector was sent under it
    assert gone_on.in_round(5, bytes(32), bytes(32)).bases == gone_on.bases  # and none under this one


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"fedcxr/masked-record/1"', '"fedcxr/masked-record/2"'),
        ('"round": 3', '"round": -3'),
        ('"closed": true', '"closed": 1'),
        ('"attempt": 2', '"attempt": 1'),
        ('"0x11', '"0x12g'),
        ('"metrics": "', '"metrics": "0'),
        ('"bases": [', '"bases": [3, '),
        ('"self_seed"', '"seed"'),
        ("{", "["),
    ],
)
def test_a_damaged_record_stops_the_hospital(disk: HospitalDisk, old: str, new: str) -> None:
    text = RECORD.to_json()
    assert old in text
    (disk.root / "masked.json").write_text(text.replace(old, new, 1))
    with pytest.raises(StoreError, match="damaged"):
        disk.masked_record(FEDERATION)


def test_a_record_that_is_too_long_or_of_another_federation_stops_the_hospital(disk: HospitalDisk) -> None:
    disk.write_masked_record(RECORD)
    with pytest.raises(StoreError, match="another federation"):
        disk.masked_record("cd" * 32)
    (disk.root / "masked.json").write_bytes(b" " * (LONGEST + 1))
    with pytest.raises(StoreError, match="damaged"):
        disk.masked_record(FEDERATION)


def test_a_record_that_is_gone_although_updates_were_signed_stops_the_hospital(disk: HospitalDisk) -> None:
    (disk.root / HOSPITAL).mkdir()
    disk.record(HOSPITAL, {"kind": "registration"})
    assert disk.masked_record(FEDERATION) == MaskedRecord(FEDERATION)
    disk.record(HOSPITAL, {"kind": "submission", **signed_to_tree(Signed(SUBMISSION, bytes(65)))})
    with pytest.raises(StoreError, match="is not there, although"):
        disk.masked_record(FEDERATION)


def test_no_tree_of_anything_else_is_a_record() -> None:
    for tree in (None, [], 3, {}, json.loads(RECORD.to_json()) | {"more": 1}):
        with pytest.raises(FederationError):
            MaskedRecord.of_tree(tree)
