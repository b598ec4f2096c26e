"""Messages: what is sent comes back, and what does not fit is refused by field."""

import os
import pickle
from dataclasses import replace

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedcxr.errors import FederationError
from fedcxr.messages import FailureReply, RefusalReply, TrainRequest, UpdateReply, kind_of
from fedcxr.update import merkle

UPDATE = UpdateReply(
    round=3,
    attempt=1,
    hospital="0x" + "11" * 20,
    base=b"b" * 32,
    root=b"r" * 32,
    samples=5,
    size=6,
    metrics_root=b"m" * 32,
    signature=b"s" * 65,
    metrics=b"{}",
    waited=0.5,
    bulk=b"\x00\x01\xff\n\r\x80",
)


@pytest.mark.parametrize(
    "message",
    [
        UPDATE,
        replace(UPDATE, bulk=b""),
        TrainRequest(1, 2, b"config", 7, b"\0" * 8),
        TrainRequest(1, 2, b"config", 7, b"\0" * 8, b"[]"),
        replace(UPDATE, head=b"[{}]"),
        RefusalReply(1, "0x", b"s" * 32, b""),
        FailureReply(20),
    ],
    ids=lambda m: type(m).__name__,
)
def test_a_message_comes_back(message: UpdateReply) -> None:
    records = message.to_records()
    assert kind_of(records) == message.kind
    assert type(message).from_records(records) == message


def test_a_message_of_a_version_without_heads_is_read() -> None:
    records = UPDATE.to_records()
    head = dict(records.config_records["fedcxr"])
    del head["head"]
    records["fedcxr"] = ConfigRecord(head)
    assert UpdateReply.from_records(records) == UPDATE


def test_heads_have_a_bound_and_a_type() -> None:
    for value in (b"x" * 1025, "text", 5):
        records = UPDATE.to_records()
        records["fedcxr"] = ConfigRecord({**records.config_records["fedcxr"], "head": value})
        with pytest.raises(FederationError, match="'head'"):
            UpdateReply.from_records(records)


def test_a_model_travels_as_one_flat_buffer() -> None:
    (record,) = UPDATE.to_records().array_records.values()
    (array,) = record.values()
    assert (array.dtype, array.shape, array.data) == ("uint8", (6,), UPDATE.bulk)


def test_another_kind_of_message_is_refused() -> None:
    with pytest.raises(FederationError, match="expected a 'train' message, got 'update'"):
        TrainRequest.from_records(UPDATE.to_records())
    with pytest.raises(FederationError, match="got None"):
        TrainRequest.from_records(RecordDict())
    assert kind_of(RecordDict()) == ""


@pytest.mark.parametrize("field", ["round", "hospital", "base", "signature", "metrics", "size"])
@pytest.mark.parametrize("value", [None, 1.5, [1, 2], True], ids=["missing", "float", "list", "bool"])
def test_a_field_that_does_not_fit_is_named(field: str, value: object) -> None:
    records = UPDATE.to_records()
    head = dict(records.config_records["fedcxr"])
    del head[field]
    if value is not None:
        head[field] = value  # type: ignore[assignment]
    records["fedcxr"] = ConfigRecord(head)
    with pytest.raises(FederationError, match=f"without a good '{field}'"):
        UpdateReply.from_records(records)


def test_a_missing_buffer_is_named() -> None:
    records = UPDATE.to_records()
    del records["bulk"]
    with pytest.raises(FederationError, match="without a good 'bulk'"):
        UpdateReply.from_records(records)
    records["bulk"] = ArrayRecord({"other": Array("uint8", (1,), "x", b"1")})
    with pytest.raises(FederationError, match="without a good 'bulk'"):
        UpdateReply.from_records(records)


def test_who_shares_a_process_hashes_the_bytes_of_a_message_once(hashed: list[int]) -> None:
    bulk = os.urandom(20_000)
    root = merkle.root(bulk)
    hashed.clear()
    carried = [TrainRequest(1, 1, b"", 1, bulk).to_records() for _ in range(3)]
    for records in carried:
        assert TrainRequest.from_records(records).hashed.root == root
    assert hashed == [20_000]
    for records in carried:
        elsewhere = RecordDict({**records, "bulk": pickle.loads(pickle.dumps(records["bulk"]))})
        assert TrainRequest.from_records(elsewhere).hashed.root == root
    assert hashed == [20_000] * 4


def test_a_message_is_believed_no_root() -> None:
    reply = replace(UPDATE, root=bytes(32), bulk=b"other bytes")
    assert UpdateReply.from_records(reply.to_records()).hashed.root == merkle.root(b"other bytes")
