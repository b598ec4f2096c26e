"""Requests, answers, headers, records and seeds files of any form do no more than end in an error of ours."""

from __future__ import annotations

import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masked_party import MaskedParty

from clients.masked_record import MaskedRecord
from fedcxr import json_text
from fedcxr.bench.secagg import Party
from fedcxr.errors import EnvelopeError, FedcxrError, FederationError
from fedcxr.masked_rounds.answers import entries_of
from fedcxr.masked_rounds.seeds_file import SeedsFile
from fedcxr.messages import UnmaskReply, UnmaskRequest
from fedcxr.privacy.masked import MaskedReader, read_header
from fedcxr.privacy.secagg.header import HeaderFacts, MaskedHeader

PARTY = Party(5, 64)
BLOB = PARTY.protect(np.zeros(64, np.uint32), PARTY.mask(0))
ACCEPTED = (0, 1, 2, 4)


@st.composite
def spoilt(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with a few of them changed, taken out, or put in."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(changed) - 1)))
        match draw(st.sampled_from(("set", "cut", "add"))):
            case "set" if changed:
                changed[at] = draw(st.integers(0, 255))
            case "cut":
                del changed[at : at + draw(st.integers(1, 5000))]
            case _:
                changed[at:at] = draw(st.binary(max_size=64))
    return bytes(changed)


@given(spoilt(BLOB))
def test_no_update_is_more_than_an_error(data: bytes) -> None:
    for read in (read_header, MaskedHeader.from_bytes, HeaderFacts.from_bytes):
        with suppress(EnvelopeError):
            read(data)
    with suppress(EnvelopeError):
        MaskedReader().read(data, PARTY.context)


@given(st.binary(max_size=300) | spoilt(bytes([1]) + bytes(33) + bytes([2]) + bytes(33 * 3)))
def test_no_answer_is_more_than_an_error(data: bytes) -> None:
    with suppress(FederationError):
        list(entries_of(PARTY.attempt, 0, ACCEPTED, data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=8),
    max_leaves=12,
)
RECORD = ("format", "federation", "round", "base", "config_digest", "attempts", "bases", "accounts")
FILE = ("answers", "attempt", "context", "federation", "format", "pairs", "round", "self")


@given(st.fixed_dictionaries(dict.fromkeys(RECORD, JSON)) | JSON)
def test_no_record_is_more_than_an_error(tree: object) -> None:
    with suppress(FederationError):
        MaskedRecord.of_tree(tree)


@given(st.fixed_dictionaries(dict.fromkeys(FILE, JSON)) | JSON)
def test_no_seeds_file_is_more_than_an_error(tree: object) -> None:
    with suppress(FederationError):
        SeedsFile.from_bytes(json.dumps(tree).encode(), PARTY.attempt, ACCEPTED)


def test_a_seeds_file_has_a_bound() -> None:
    with pytest.raises(FederationError, match="not JSON"):
        SeedsFile.from_bytes(b"[" * (9 << 20), PARTY.attempt, ACCEPTED)
    with pytest.raises(ValueError, match="deep"):
        json_text.parse(b"[" * 100)


def test_no_request_is_more_than_a_refusal(masked_party: MaskedParty) -> None:
    party = masked_party
    party.close(ACCEPTED)
    good = party.request(0)

    @settings(max_examples=40)
    @given(spoilt(good.bulk), st.binary(max_size=100), st.integers(-3, 2**40))
    def ask(bulk: bytes, rubbish: bytes, number: int) -> None:
        for request in (
            UnmaskRequest(good.round, good.attempt, rubbish, b"", bulk),
            UnmaskRequest(good.round, number, b"", rubbish, good.bulk),
            UnmaskRequest(number, good.attempt, b"", b"", good.bulk),
        ):
            if (request.bulk, request.round, request.attempt) == (good.bulk, good.round, good.attempt):
                continue
            with pytest.raises(FedcxrError):
                party.hospital(0).unmask(request)

    ask()
    record = party.disk(0).masked_record(party.ledger.views.federation.hex())
    assert record.newest is not None
    assert record.newest.released is None
    assert isinstance(party.unmask(0), UnmaskReply)
