"""Events and errors are read under the ABI's names as eth_abi wrote them; what is no encoding is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.abi import event_abi_to_log_topic, function_abi_to_4byte_selector
from eth_utils.address import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcxr.errors import ChainError
from fedcxr.indexer.events import decode, decode_reason, definitions
from fedcxr.indexer.source import Log
from fedcxr.ledger.abi import ENUMS, Fields
from fedcxr.ledger.artifact import load_artifact, selector, signature_hash

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
    read = Fields(fields).read(written)
    wanted = {field["name"]: expected(field, value) for field, value in zip(fields, drawn, strict=True)}
    assert read == wanted
    assert list(read) == list(wanted)


def test_signatures_are_those_of_eth_utils() -> None:
    for entry in ENTRIES:
        if entry["type"] == "event":
            assert signature_hash(entry) == event_abi_to_log_topic(entry)  # type: ignore[arg-type]
        else:
            function: Any = {**entry, "type": "function"}
            assert selector(entry) == function_abi_to_4byte_selector(function)


@given(st.binary(max_size=600))
def test_what_is_no_encoding_is_named_and_nothing_else(data: bytes) -> None:
    topic = next(signature_hash(e) for e in ARTIFACT.abi if e.get("name") == "RoundOpened")
    log = Log((topic, bytes(32)), data, 7, 3, bytes(32))
    with pytest.raises(ChainError, match="block 7, log 3: not a RoundOpened"):
        decode(log)


@pytest.mark.parametrize("kind", ["uint256[]", "string", "bytes"])
@pytest.mark.parametrize("length", [1, 2**40, 2**62, 2**255])
def test_a_length_beyond_the_data_is_refused_before_anything_is_made_for_it(kind: str, length: int) -> None:
    endless = (32).to_bytes(32, "big") + length.to_bytes(32, "big")
    with pytest.raises(ValueError, match=r"only got 0 bytes|index-sized"):
        Fields([{"name": "long", "type": kind}]).read(endless)


def test_a_text_that_is_not_utf_8_is_read_all_the_same() -> None:
    """The contract takes any bytes for a text, and the event that has it must be read."""
    data = encode(["bytes"], [b"caf\xe9"])
    assert Fields([{"name": "reason", "type": "string"}]).read(data) == {"reason": "caf\\xe9"}


def test_arguments_of_an_error_stay_as_eth_abi_gives_them() -> None:
    wrong_phase = next(entry for entry in ENTRIES if entry["name"] == "WrongPhase")
    data = encode(["uint64", "uint8"], [7, 2])
    assert Fields(wrong_phase["inputs"]).decode(data) == (7, 2)
    assert Fields(wrong_phase["inputs"]).read(data) == {"round": 7, "phase": "closed"}


def test_an_error_without_a_name_keeps_its_bytes() -> None:
    assert decode_reason(b"\1\2\3\4rest") == {"error": "Unknown", "arguments": {"data": b"\1\2\3\4rest"}}
    assert decode_reason(b"") == {"error": "Unknown", "arguments": {"data": b""}}


def test_both_contracts_events_are_kept() -> None:
    assert {"UpdateAccepted", "RewardsSettled", "AggregateDisputed", "BondSlashed"} <= set(definitions())
