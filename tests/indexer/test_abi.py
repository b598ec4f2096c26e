"""The index's own reading of the ABI agrees with eth_abi, and of a chain's rows with web3."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import pytest
from eth.db.schema import SchemaV1
from eth_abi.abi import encode
from eth_utils.abi import event_abi_to_log_topic, function_abi_to_4byte_selector
from eth_utils.address import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcxr.errors import ChainError
from fedcxr.indexer import chain_rows
from fedcxr.indexer.abi import ENUMS, codec, read_fields, signature
from fedcxr.indexer.events import decode, decode_reason, definitions
from fedcxr.indexer.source import Log
from fedcxr.ledger.artifact import load_artifact

ARTIFACT = load_artifact()
ENTRIES = [e for e in (*ARTIFACT.abi, *ARTIFACT.court_abi) if e["type"] in ("event", "error")]


def canonical(field: Mapping[str, Any]) -> str:
    if not field["type"].startswith("tuple"):
        return str(field["type"])
    return f"({','.join(map(canonical, field['components']))}){field['type'][5:]}"


def values(field: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values of an ABI type, as eth_abi takes them."""
    kind = field["type"]
    if kind.endswith("[]"):
        return st.lists(values({**field, "type": kind[:-2]}), max_size=4)
    if kind == "tuple":
        return st.tuples(*map(values, field["components"]))
    if kind.startswith("uint"):
        return st.integers(0, 2 ** int(kind[4:]) - 1)
    if kind.startswith("int"):
        return st.integers(-(2 ** (int(kind[3:]) - 1)), 2 ** (int(kind[3:]) - 1) - 1)
    if kind.startswith("bytes") and kind != "bytes":
        return st.binary(min_size=int(kind[5:]), max_size=int(kind[5:]))
    plain = {
        "bytes": st.binary(max_size=100),
        "string": st.text(max_size=50),
        "bool": st.booleans(),
        "address": st.binary(min_size=20, max_size=20).map(to_checksum_address),
    }
    return plain[kind]


def expected(field: Mapping[str, Any], value: Any) -> Any:
    """What the index makes of a value: enumerations by name, structs by their fields."""
    names = ENUMS.get(field.get("internalType", "").removeprefix("enum "))
    if names and field["type"] == "uint8":
        return names[value] if value < len(names) else str(value)
    if field["type"] == "tuple":
        return {c["name"]: expected(c, v) for c, v in zip(field["components"], value, strict=True)}
    return value


@settings(max_examples=300)
@given(entry=st.sampled_from(ENTRIES), data=st.data())
def test_every_event_and_error_is_read_as_eth_abi_wrote_it(
    entry: dict[str, Any], data: st.DataObject
) -> None:
    fields = entry["inputs"]
    drawn = [data.draw(values(field)) for field in fields]
    written = encode([canonical(field) for field in fields], drawn)
    read = read_fields([codec(field) for field in fields], written)
    assert read == [expected(field, value) for field, value in zip(fields, drawn, strict=True)]


def test_signatures_are_those_of_eth_utils() -> None:
    for entry in ENTRIES:
        if entry["type"] == "event":
            assert signature(entry) == event_abi_to_log_topic(entry)  # type: ignore[arg-type]
        else:
            function: Any = {**entry, "type": "function"}
            assert signature(entry)[:4] == function_abi_to_4byte_selector(function)


@given(st.binary(max_size=600))
def test_what_is_no_encoding_is_named_and_nothing_else(data: bytes) -> None:
    topic = next(signature(e) for e in ARTIFACT.abi if e.get("name") == "RoundOpened")
    log = Log((topic, bytes(32)), data, 7, 3, bytes(32))
    with pytest.raises(ChainError, match="block 7, log 3: not a RoundOpened"):
        decode(log)


def test_an_array_that_claims_to_be_endless_is_refused_before_it_is_made() -> None:
    endless = (32).to_bytes(32, "big") + (2**255).to_bytes(32, "big")
    with pytest.raises(ValueError, match="an array of"):
        read_fields([codec({"type": "uint256[]"})], endless)


def test_an_error_without_a_name_keeps_its_bytes() -> None:
    assert decode_reason(b"\1\2\3\4rest") == {"error": "Unknown", "arguments": {"data": b"\1\2\3\4rest"}}
    assert decode_reason(b"") == {"error": "Unknown", "arguments": {"data": b""}}


def test_both_contracts_events_are_kept() -> None:
    assert {"UpdateAccepted", "RewardsSettled", "AggregateDisputed", "BondSlashed"} <= set(definitions())


def test_the_chains_rows_have_the_names_that_py_evm_gives_them() -> None:
    assert SchemaV1.make_canonical_head_hash_lookup_key() == chain_rows.HEAD
    number = SchemaV1.make_block_number_to_hash_lookup_key(12)  # type: ignore[arg-type]
    assert number == (chain_rows.NUMBER % 12).encode()


@given(st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=5), max_leaves=20))
def test_rlp_is_read_as_the_library_wrote_it(tree: Any) -> None:
    import rlp

    try:
        assert chain_rows.decode(rlp.encode(tree)) == tree
    except ChainError:
        assert depth(tree) > 8


@given(st.binary(max_size=60))
def test_what_is_no_rlp_is_refused(data: bytes) -> None:
    import rlp

    try:
        good = rlp.decode(data, strict=True)
    except rlp.exceptions.DecodingError:
        # The library also refuses lengths that could be shorter; here they are only read.
        with contextlib.suppress(ChainError):
            chain_rows.decode(data)
        return
    assert chain_rows.decode(data) == good


def depth(tree: Any) -> int:
    return 1 + max(map(depth, tree), default=0) if isinstance(tree, list) else 0
